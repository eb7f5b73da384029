"""The first screen: whether the checkpoint loads, and what to run next."""

from collections.abc import Iterator, Sequence
from typing import Final

from packaging.version import Version

from ckptfix.operations.checked import Advised, CheckedCheckpoint, ReleaseAnswer, cured, lost
from ckptfix.report.commands import ELSEWHERE
from ckptfix.report.console import line
from ckptfix.report.layout import SHELL, Block, Line, cells, table
from ckptfix.report.matrix import matrix_lines
from ckptfix.report.releases import joined, ranges_where, release_range, runs_of_releases
from ckptfix.report.serving import serve_command
from ckptfix.report.spelling import spelled
from ckptfix.runtimes.drafts import DraftAnswer
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

STYLE: Final = {Answer.YES: "green", Answer.NO: "red", Answer.UNKNOWN: ""}
_FEW: Final = 4
"""So many releases are named in a command."""


_Runs = list[tuple[Sequence[Target], tuple[Answer, str]]]


def _runs(checked: CheckedCheckpoint) -> _Runs:
    """Neighbouring releases with the same answer."""
    each = ((a.target, (a.loads, visible(str(a.answer)))) for a in checked.runtimes)
    return list(runs_of_releases(each))


def _answers(runs: _Runs) -> Block:
    rows = [(f"  {release_range(releases)}", text) for releases, (_, text) in runs]
    return table(rows, [STYLE[loads] for _, (loads, _) in runs], head=False)


def metadata_only_lines(checked: CheckedCheckpoint) -> Iterator[Block]:
    """What metadata and names alone decide, where the shard files are missing.

    For modules: of the requested releases, by default of those that count.
    """
    if checked.runtimes:
        yield line((f"Will {visible(checked.name)} load? (metadata only)", "bold"))
        yield _answers(_runs(checked))
        yield line()
        by_module = [answer.verdict for answer in checked.counted if answer.verdict.modules]
        yield from matrix_lines(by_module)


def outlook_lines(checked: CheckedCheckpoint) -> Iterator[Block]:
    """Both answers, for the requested releases, by default for every known one."""
    yield line(("Will it load? (names and formats only)", "bold"))
    runs = _runs(checked)
    yield _answers(runs)
    yield from (line(f"  {note}") for note in notes_on_unknown(checked))
    yield from _draft_lines(checked.drafts)
    yield line(("Next step", "bold"))
    loading = [releases for releases, (loads, _) in runs if loads is Answer.YES]
    yield from _command_lines(list(_commands(checked, loading)))
    yield line()


def _draft_lines(drafts: Sequence[DraftAnswer]) -> Iterator[Block]:
    """Whether the draft layers are loaded too."""
    if not drafts:
        return
    yield line(("With its draft layers (speculative decoding)?", "bold"))
    states = ((d.target, (d.loads.answer, d.architecture, visible(str(d.loads)))) for d in drafts)
    runs = list(runs_of_releases(states))
    rows = [(f"  {release_range(releases)}", f"{text} ({c})") for releases, (_, c, text) in runs]
    yield table(rows, [STYLE[answer] for _, (answer, _, _) in runs], head=False)


def _command_lines(commands: Sequence[tuple[str, str]]) -> Iterator[Line]:
    """The commands with their comments aligned in one column."""
    widest = max(cells(command) for command, _ in commands)
    for command, comment in commands:
        blanks = " " * (widest - cells(command) + 2)
        yield line("  ", (command, SHELL), *((blanks, comment) if comment else ()))


def _commands(
    checked: CheckedCheckpoint, loading: Sequence[Sequence[Target]]
) -> Iterator[tuple[str, str]]:
    """(command, purpose), most useful first; commands without effect are left out."""
    advised = checked.advised
    if advised and (checked.requested or not advised.for_releases):
        yield from _rewrites(checked, advised)
        return
    yield from _serving(checked, loading)
    if advised:
        dry_run = spelled(f"`plan({advised.arguments})`", checked.name)
        yield dry_run, f"# shows the patch that {effect_text(checked.runtimes, advised)}"
    elif not loading:
        below = "# see the findings below" if checked.findings else ""
        refused = any(answer.loads is Answer.NO for answer in checked.runtimes)
        why = "no rewrite makes it load" if refused else "no release is known to refuse it"
        yield f"nothing to run: {why}", below


def _serving(
    checked: CheckedCheckpoint, loading: Sequence[Sequence[Target]]
) -> Iterator[tuple[str, str]]:
    """How each runtime serves it: its newest releases, and all others that take the same words."""
    told = {answer.target: answer.answer.options for answer in checked.runtimes}
    commands = [serve_command(checked.name, checked.kind, r[0], *told[r[0]]) for r in loading]
    for runtime in dict.fromkeys(releases[0].runtime for releases in loading):
        own = [i for i, releases in enumerate(loading) if releases[0].runtime == runtime]
        newest = max(own, key=lambda i: max(Version(target.version) for target in loading[i]))
        ranges = [release_range(loading[i]) for i in own if commands[i] == commands[newest]]
        yield commands[newest], f"# {joined(ranges)}"


def notes_on_unknown(checked: CheckedCheckpoint) -> list[str]:
    """Whose answer is given for the requested releases that are not known."""
    return [a.target.stands_in for a in checked.runtimes if a.target.stands_in]


def effect_text(now: Sequence[ReleaseAnswer], advised: Advised) -> str:
    """What a rewrite does, and which answers change with it."""
    then = advised.then
    more, fewer = cured(now, then), lost(now, then)
    parts = [advised.effect]
    if more:
        parts.append(f"then it loads on {ranges_where(then, more)}")
    elif not fewer and any(answer.loads is not Answer.YES for answer in now):
        parts.append("none of these answers changes")
    if fewer:
        parts.append(f"no longer on {ranges_where(then, fewer)}")
    return "; ".join(parts)


def _rewrites(checked: CheckedCheckpoint, advised: Advised) -> Iterator[tuple[str, str]]:
    """How to carry out a rewrite: in place, into a directory, or as a pull request."""
    call, name = f"`rewrite({advised.arguments})`", checked.name
    comment = f"# {effect_text(checked.runtimes, advised)}"
    if checked.kind == "directory":
        yield spelled(call, name), comment
    else:
        yield spelled(call, name, *ELSEWHERE), comment
    if checked.kind == "repository":
        proposes = spelled(call, name, "--create-pr")
        yield proposes, "# opens a pull request with the fix"
    if advised.without_writing:
        passes = spelled(call, name, "--overrides", *_asked(checked, advised))
        yield passes, "# or change nothing: prints how to serve it with the fix as an argument"


def _asked(checked: CheckedCheckpoint, advised: Advised) -> Iterator[str]:
    """The options for the few releases that were asked for: without them, all known ones count."""
    targets = [answer.target for answer in checked.runtimes] if checked.requested else []
    for target in targets if len(targets) <= _FEW and "runtime" not in advised.arguments else ():
        yield from ("--runtime", f"{target.runtime}=={target.version}")


def answer_text(checked: CheckedCheckpoint, *, allow_unknown: bool) -> str:
    """One phrase on the releases that count: `does not load on vllm 0.33.0`."""
    counted = checked.counted
    by = {loads: [a for a in counted if a.loads is loads] for loads in Answer}
    parts = []
    if by[Answer.NO]:
        parts.append(f"does not load on {_some(counted, by[Answer.NO])}")
    if by[Answer.UNKNOWN]:
        accepts = "" if allow_unknown or by[Answer.NO] else "; --allow-unknown accepts that"
        parts.append(f"not known whether it loads on {_some(counted, by[Answer.UNKNOWN])}{accepts}")
    return "; ".join(parts) or "loads"


def _some(counted: Sequence[ReleaseAnswer], those: Sequence[ReleaseAnswer]) -> str:
    ranges = ranges_where(counted, those)
    return ranges if ranges.count(",") < 2 else f"{len(those):,} of {len(counted):,} releases"
