"""The two questions that a user comes with: will it load, and what do I type now."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.commands import ELSEWHERE, path_word, quoted, suggested
from ckptfix.operations.checked import CheckedCheckpoint, Loads, ReleaseAnswer
from ckptfix.remote.reference import plain_name
from ckptfix.report.console import Line, columns, line
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.runtimes.verdict import TargetVerdict

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
    return answer.loads, ", ".join((said, *answer.reasons[:1]))


def _commands(
    checked: CheckedCheckpoint, loading: Sequence[Sequence[TargetVerdict]], *, wrong: bool
) -> Iterator[tuple[str, str]]:
    """(command, what it is for), most useful first."""
    dry_run = f"  {suggested('rewrite', checked.name, '--dry-run')}"
    repairs = {finding.fixed_by for finding in checked.findings}
    blocked = bool(checked.blocking_codes)
    if "rewrite --tensors" in repairs:
        both = ("--from-tensors",) if "rewrite --from-tensors" in repairs else ()
        effect = "renames tensors, repairs the metadata"
        yield from _rewrites(checked, effect, "--tensors", *both)
    elif "rewrite --from-tensors" in repairs:
        yield from _rewrites(checked, "repairs names and content", "--from-tensors")
    elif "rewrite" in repairs:
        yield from _rewrites(checked, "repairs the names")
    elif wrong and checked.verdicts and not blocked:
        specs = [f"{v.target.runtime}=={v.target.version}" for v in checked.verdicts]
        asked = [word for spec in specs for word in ("--runtime", spec)]
        yield from _rewrites(checked, "repairs what names can repair", *asked)
    elif loading:
        for alike in loading[:1]:
            yield f"  {_served(checked, alike[0])}", f"# {release_range(alike)}"
        if wrong:
            yield dry_run, "# what names can repair for the others"
    elif wrong and not blocked:
        yield dry_run, "# what names can repair"
    else:
        yield "  nothing: no metadata repairs it", "# the findings say what does"


def _rewrites(checked: CheckedCheckpoint, effect: str, *options: str) -> Iterator[tuple[str, str]]:
    """How to carry a rewrite out: in place, into a directory, or for all who use the repository."""
    name = checked.name
    if checked.kind == "directory":
        yield f"  {suggested('rewrite', name, *options)}", f"# {effect}"
        return
    yield f"  {suggested('rewrite', name, *options, *ELSEWHERE)}", f"# {effect}"
    if checked.kind == "repository":
        proposes = suggested("rewrite", name, *options, "--create-pr")
        yield f"  {proposes}", "# proposes that to its owners"


def _served(checked: CheckedCheckpoint, verdict: TargetVerdict) -> str:
    """The command that serves it; a URL is served from the directory it is copied to."""
    command = SERVE[verdict.target.runtime]
    if checked.kind == "url":
        return command.format("DIR")
    if checked.kind == "directory":
        return command.format(path_word(checked.name))
    name, _, revision = plain_name(checked.name).partition("@")
    more = f" --revision {quoted(revision)}" if revision else ""
    return f"{command.format(quoted(name))}{more}"
