"""The two questions that a user comes with: will it load, and what do I type now."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.report.check_report import CheckedCheckpoint
from ckptfix.report.console import Line, columns, count, line
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.text import visible

BLOCKING: Final = frozenset({"CKF109", "CKF208", "CKF301", "CKF308", "CKF502"})
"""Findings in the tensors themselves: no release loads them rightly, whatever it resolves."""

SERVE: Final = {
    "vllm": "vllm serve {}",
    "sglang": "python -m sglang.launch_server --model-path {}",
}
"""How each runtime is started."""


def outlook_lines(checked: CheckedCheckpoint, outlook: Sequence[TargetVerdict]) -> Iterator[Line]:
    """Both answers, for the releases asked about or else for every known one."""
    yield line(("will it load, as far as names and formats tell", "bold"))
    runs = list(runs_of_releases((v, _answer(checked, v)) for v in outlook))
    rows = [(f"  {release_range(alike)}", answer) for alike, answer in runs]
    if not rows:
        yield line(
            "  not known: where a runtime puts the modules of this architecture was not read"
        )
    for text, (_, answer) in zip(columns(rows), runs, strict=True):
        yield line((text, "green" if answer == "yes" else "red" if answer[:2] == "no" else ""))
    yield line(("now type", "bold"))
    loading = [alike for alike, answer in runs if answer == "yes"]
    told = list(_commands(checked, loading, wrong=any(verdict.wrong for verdict in outlook)))
    yield from (line(text) for text in columns(told))
    yield line()


def blocking_codes(checked: CheckedCheckpoint) -> list[str]:
    """Codes of the findings that no release gets past."""
    return sorted({f.code for f in checked.findings if f.code in BLOCKING})


def _answer(checked: CheckedCheckpoint, verdict: TargetVerdict) -> str:
    blocking = blocking_codes(checked)
    if blocking and not verdict.refused:
        return f"no, its tensors are at fault: {', '.join(blocking)}"
    loads = verdict.loads
    match loads.answer:
        case Answer.YES:
            return "yes"
        case Answer.UNKNOWN:
            return f"not known, {loads.unknown_because}"
        case Answer.NO if verdict.wrong:
            total = count(len(verdict.modules), "module")
            return f"no, {len(verdict.wrong):,} of {total} built otherwise than stored"
        case Answer.NO:
            return f"no, {loads.reasons[0]}"


def _commands(
    checked: CheckedCheckpoint, loading: Sequence[Sequence[TargetVerdict]], *, wrong: bool
) -> Iterator[tuple[str, str]]:
    """(command, what it is for), most useful first."""
    name = shlex.quote(visible(checked.name))
    repairs = {RULES[finding.code].fixed_by for finding in checked.findings}
    blocked = bool(blocking_codes(checked))
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
