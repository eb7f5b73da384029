"""The two questions that a user comes with: will it load, and what do I type now."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.operations.checked import Advised, CheckedCheckpoint, Loads, ReleaseAnswer
from ckptfix.remote.reference import plain_name
from ckptfix.report.commands import ELSEWHERE, path_word, quoted
from ckptfix.report.console import Line, columns, line
from ckptfix.report.releases import release_range, runs_of_releases
from ckptfix.report.spelling import spelled
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.verdict import TargetVerdict


def outlook_lines(checked: CheckedCheckpoint, outlook: Sequence[TargetVerdict]) -> Iterator[Line]:
    """Both answers, for the releases asked about or else for every known one."""
    yield line(("Will it load? (names and formats only)", "bold"))
    runs = list(runs_of_releases((v, _loads_and_text(checked.answer(v))) for v in outlook))
    rows = [(f"  {release_range(alike)}", text) for alike, (_, text) in runs]
    if not rows:
        yield line("  unknown: no runtime profile covers this architecture yet")
    for text, (_, (loads, _)) in zip(columns(rows), runs, strict=True):
        yield line((text, _STYLE[loads]))
    yield line(("Next step", "bold"))
    loading = [alike for alike, (loads, _) in runs if loads == "yes"]
    told = list(_commands(checked, loading))
    yield from (line(text) for text in columns(told))
    yield line()


_STYLE: Final[dict[Loads, str]] = {"yes": "green", "no": "red", "unknown": ""}


def _loads_and_text(answer: ReleaseAnswer) -> tuple[Loads, str]:
    said = "unknown" if answer.loads == "unknown" else answer.loads
    return answer.loads, ", ".join((said, *answer.reasons[:1]))


def _commands(
    checked: CheckedCheckpoint, loading: Sequence[Sequence[TargetVerdict]]
) -> Iterator[tuple[str, str]]:
    """(command, what it is for), most useful first; no command that changes nothing."""
    advised = checked.advised
    if advised and (checked.verdicts or not advised.for_releases):
        yield from _rewrites(checked, advised)
        return
    for alike in loading[:1]:
        yield f"  {_served(checked, alike[0])}", f"# {release_range(alike)}"
    if advised:
        rest = " for the others" if loading else ""
        dry_run = spelled(f"`plan({advised.arguments})`", checked.name)
        yield f"  {dry_run}", f"# {advised.effect}{rest}"
    elif not loading:
        yield "  nothing to run: no rewrite fixes this", "# see the findings below"


def _rewrites(checked: CheckedCheckpoint, advised: Advised) -> Iterator[tuple[str, str]]:
    """How to carry a rewrite out: in place, into a directory, or for all who use the repository."""
    call, name = f"`rewrite({advised.arguments})`", checked.name
    if checked.kind == "directory":
        yield f"  {spelled(call, name)}", f"# {advised.effect}"
        return
    yield f"  {spelled(call, name, *ELSEWHERE)}", f"# {advised.effect}"
    if checked.kind == "repository":
        proposes = spelled(call, name, "--create-pr")
        yield f"  {proposes}", "# opens a pull request with the fix"


def _served(checked: CheckedCheckpoint, verdict: TargetVerdict) -> str:
    """The command that serves it; a URL is served from the directory it is copied to."""
    command = runtime_named(verdict.target.runtime).serve_command
    if checked.kind == "url":
        return command.format("DIR")
    if checked.kind == "directory":
        return command.format(path_word(checked.name))
    name, _, revision = plain_name(checked.name).partition("@")
    more = f" --revision {quoted(revision)}" if revision else ""
    return f"{command.format(quoted(name))}{more}"
