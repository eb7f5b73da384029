"""The two questions that a user comes with: will it load, and what do I type now."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.operations.checked import CheckedCheckpoint, Loads, ReleaseAnswer
from ckptfix.report.console import Line, columns, line
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.text import visible

SERVE: Final = {
    "vllm": "vllm serve {}",
    "sglang": "python -m sglang.launch_server --model-path {}",
}
"""How each runtime is started."""


def outlook_lines(checked: CheckedCheckpoint, outlook: Sequence[TargetVerdict]) -> Iterator[Line]:
    """Both answers, for the releases asked about or else for every known one."""
    yield line(("will it load, as far as names and formats tell", "bold"))
    runs = list(runs_of_releases((v, _loads_and_text(checked.answer(v))) for v in outlook))
    rows = [(f"  {release_range(alike)}", text) for alike, (_, text) in runs]
    if not rows:
        yield line(
            "  not known: where a runtime puts the modules of this architecture was not read"
        )
    for text, (_, (loads, _)) in zip(columns(rows), runs, strict=True):
        yield line((text, _STYLE[loads]))
    yield line(("now type", "bold"))
    loading = [alike for alike, (loads, _) in runs if loads == "yes"]
    told = list(_commands(checked, loading, wrong=any(verdict.wrong for verdict in outlook)))
    yield from (line(text) for text in columns(told))
    yield line()


_STYLE: Final[dict[Loads, str]] = {"yes": "green", "no": "red", "unknown": ""}


def _loads_and_text(answer: ReleaseAnswer) -> tuple[Loads, str]:
    said = "not known" if answer.loads == "unknown" else answer.loads
    return answer.loads, ", ".join((said, *answer.reasons))


def _commands(
    checked: CheckedCheckpoint, loading: Sequence[Sequence[TargetVerdict]], *, wrong: bool
) -> Iterator[tuple[str, str]]:
    """(command, what it is for), most useful first."""
    name = shlex.quote(visible(checked.name))
    repairs = {finding.fixed_by for finding in checked.findings}
    blocked = bool(checked.blocking_codes)
    if "rewrite --tensors" in repairs:
        both = " --from-tensors" if "rewrite --from-tensors" in repairs else ""
        yield from _rewrites(checked, f" --tensors{both}", "renames tensors, repairs the metadata")
    elif "rewrite --from-tensors" in repairs:
        yield from _rewrites(checked, " --from-tensors", "repairs names and content")
    elif "rewrite" in repairs:
        yield from _rewrites(checked, "", "repairs the names")
    elif wrong and checked.verdicts and not blocked:
        specs = "".join(
            f" --runtime {v.target.runtime}=={v.target.version}" for v in checked.verdicts
        )
        yield from _rewrites(checked, specs, "repairs what names can repair")
    elif loading:
        for alike in loading[:1]:
            yield f"  {_served(checked, alike[0])}", f"# {release_range(alike)}"
        if wrong:
            yield f"  ckptfix rewrite {name} --dry-run", "# what names can repair for the others"
    elif wrong and not blocked:
        yield f"  ckptfix rewrite {name} --dry-run", "# what names can repair"
    else:
        yield "  nothing: no metadata repairs it", "# the findings say what does"


def _rewrites(checked: CheckedCheckpoint, flags: str, effect: str) -> Iterator[tuple[str, str]]:
    """How to carry a rewrite out: in place, into a directory, or for all who use the repository."""
    command = f"  ckptfix rewrite {shlex.quote(visible(checked.name))}{flags}"
    if checked.kind == "directory":
        yield command, f"# {effect}"
        return
    yield f"{command} --output DIR", f"# {effect}"
    if checked.kind == "repository":
        yield f"{command} --create-pr", "# proposes that to its owners"


def _served(checked: CheckedCheckpoint, verdict: TargetVerdict) -> str:
    """The command that serves it; a URL is served from the directory it is copied to."""
    command = SERVE[verdict.target.runtime]
    if checked.kind == "url":
        return command.format("DIR")
    name, _, revision = checked.name.partition("@")
    if checked.kind == "directory" or not revision:
        return command.format(shlex.quote(visible(checked.name)))
    return f"{command.format(shlex.quote(name))} --revision {shlex.quote(revision)}"
