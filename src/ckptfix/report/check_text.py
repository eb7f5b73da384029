"""`check` for people."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ckptfix.operations.checked import CheckedCheckpoint, cured
from ckptfix.report.check_report import CheckReport
from ckptfix.report.check_table import answer_table
from ckptfix.report.console import count, line
from ckptfix.report.folding import fold
from ckptfix.report.layout import Block, Line
from ckptfix.report.matrix import matrix_lines
from ckptfix.report.outlook import (
    answer_text,
    metadata_only_lines,
    notes_on_unknown,
    outlook_lines,
)
from ckptfix.report.spelling import REPAIR_COMMANDS
from ckptfix.rules.finding import Finding, Severity
from ckptfix.runtimes.loads import Answer
from ckptfix.text import visible

MOST_SUBJECTS = 12
"""Groups of names shown under one finding before the rest is only counted."""

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def check_text(report: CheckReport, verbose: bool) -> Iterator[Block]:
    """Every checkpoint under its name, and a summary where there are several."""
    several = len(report.checkpoints) > 1
    for checked in report.checkpoints:
        if checked.error:  # printed to stderr
            if not report.brief:
                yield from metadata_only_lines(checked)
            continue
        if report.brief and not verbose:
            continue
        if several and not _is_brief(checked):
            yield line((f"== {visible(checked.name)}", "bold"))
        yield from _checkpoint_lines(report, checked, verbose=verbose, alone=not several)
        if several and not _is_brief(checked):
            yield line()
    if several or report.brief or report.skipped:
        if report.checkpoints:
            yield answer_table(report)
            yield line()
        yield _total_line(report)


def _is_brief(checked: CheckedCheckpoint) -> bool:
    """True for one of several checkpoints that is clean and has nothing else to report."""
    return checked.clean and not checked.requested


def _checkpoint_lines(
    report: CheckReport, checked: CheckedCheckpoint, *, verbose: bool, alone: bool
) -> Iterator[Block]:
    """Where it will load, what was found, and a summary."""
    if alone or not checked.clean:
        yield from outlook_lines(checked)
    yield from below_first_screen(checked, verbose=verbose)
    yield _summary_line(report, checked)


def below_first_screen(checked: CheckedCheckpoint, *, verbose: bool = False) -> Iterator[Block]:
    """All findings under their rules, and the requested releases, module by module."""
    # For requested releases, the matrix shows what these findings report.
    in_matrix = checked.requested and not verbose
    shown = [f for f in checked.findings if not (in_matrix and f.rule.needs == "release")]
    yield from finding_lines(shown, verbose=verbose)
    yield from matrix_lines(checked.verdicts)
    if checked.verdicts:
        yield line()


def finding_lines(findings: Sequence[Finding], *, verbose: bool) -> Iterator[Line]:
    """Findings under their rules."""
    for rule in sorted({finding.rule for finding in findings}, key=lambda rule: rule.code):
        yield line((f"{rule.severity.value} {rule.code}", _STYLE[rule.severity]), f" {rule.title}")
        of_rule = [finding for finding in findings if finding.rule is rule]
        yield from _unfolded(of_rule) if verbose else _folded(of_rule)
        yield line()


def _folded(findings: Iterable[Finding]) -> Iterator[Line]:
    for group in fold(findings):
        for subject, expected, number in group.subjects[:MOST_SUBJECTS]:
            yield line(
                "  ",
                (subject, "bold"),
                f" -> {expected}" if expected else "",
                f" ({number:,})" if number > 1 else "",
            )
        hidden = group.subjects[MOST_SUBJECTS:]
        if hidden:
            more = sum(number for _, _, number in hidden)
            yield line(f"  and {more:,} more (use --verbose to list them)")
        yield line(f"    {group.message}")
        for place, number in group.places:
            yield line("    at ", (place, "cyan"), f" ({number:,})" if number > 1 else "")
        yield line(f"    fix: {group.advice}")


def _unfolded(findings: Iterable[Finding]) -> Iterator[Line]:
    for finding in findings:
        expected = f" -> {visible(finding.expected)}" if finding.expected else ""
        yield line("  ", (visible(finding.subject), "bold"), expected)
        yield line(f"    {finding.message}")
        yield line("    at ", (str(finding.place), "cyan"))
        yield line(f"    fix: {finding.advice}")


def _summary_line(report: CheckReport, checked: CheckedCheckpoint) -> Line:
    """`NAME: clean`, or where it does not load, what is wrong and how much of it is repaired."""
    number = sum(checked.ignored.values())
    ignored = f"; {count(number, 'finding')} ignored" if number else ""
    unknown = "".join(f"; {note}" for note in notes_on_unknown(checked))
    if checked.clean:
        return line(f"{visible(checked.name)}: ", ("clean", "bold green"), ignored, unknown)
    parts = [answer_text(checked, allow_unknown=report.allow_unknown)]
    found = [count(number, severity.value) for severity, number in checked.counts.items() if number]
    parts += [", ".join(found)] if found else []
    parts += [
        f"ckptfix {REPAIR_COMMANDS[repair]} repairs {repaired:,}"
        for repair, repaired in checked.repaired.items()
    ]
    advised = checked.advised
    better = cured(checked.runtimes, advised.then) if advised else ()
    if not checked.repaired and any(answer.counts for answer in better):
        parts.append("the next step repairs that")
    style = "bold yellow" if report.passes(checked) else "bold red"
    return line(f"{visible(checked.name)}: ", ("; ".join(parts), style), ignored, unknown)


def _total_line(report: CheckReport) -> Line:
    """How many checkpoints are clean, have findings, do not load, could not be checked."""
    number = len(report.checkpoints) + len(report.skipped)
    return line(f"{count(number, 'checkpoint')}: ", (fates(report), "bold"))


def fates(report: CheckReport) -> str:
    """`1 clean, 2 not loaded`."""
    found = Counter(map(_fate, report.checkpoints))
    found["skipped"] = len(report.skipped)
    return ", ".join(f"{found[fate]:,} {fate}" for fate in _FATES if found[fate])


_FATES: Final = ("clean", "with findings", "not loaded", "not known", "failed", "skipped")


def _fate(checked: CheckedCheckpoint) -> str:
    if checked.error:
        return "failed"
    if checked.loads is Answer.YES:
        return "with findings" if checked.findings else "clean"
    return "not loaded" if checked.loads is Answer.NO else "not known"
