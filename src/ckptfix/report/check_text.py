"""`check` for people."""

from collections.abc import Iterable, Iterator, Sequence

from ckptfix.operations.checked import CheckedCheckpoint, count_severities
from ckptfix.report.check_report import CheckReport
from ckptfix.report.check_table import table_lines
from ckptfix.report.console import Line, count, line
from ckptfix.report.folding import fold
from ckptfix.report.matrix import matrix_lines
from ckptfix.report.outlook import outlook_lines
from ckptfix.rules.finding import Finding, Severity, number_of
from ckptfix.text import visible

MOST_SUBJECTS = 12
"""Groups of names shown under one finding before the rest is only counted."""

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def check_text(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """Every checkpoint under its name, and a summary where there are several."""
    several = len(report.checkpoints) > 1
    for checked in report.checkpoints:
        if checked.error or (report.brief and not verbose):
            continue  # errors are said on stderr
        if several and (checked.findings or checked.verdicts):
            yield line((f"== {visible(checked.name)}", "bold"))
        yield from checkpoint_lines(checked, verbose=verbose, alone=not several)
        if several and (checked.findings or checked.verdicts):
            yield line()
    if several or report.brief:
        yield from table_lines(report)
        yield line()
        yield _total_line(report)


def checkpoint_lines(
    checked: CheckedCheckpoint, *, verbose: bool, alone: bool = True
) -> Iterator[Line]:
    """Where it will load, all findings under their rules, the releases, and a summary."""
    if checked.outlook is not None and (alone or checked.findings):
        yield from outlook_lines(checked, checked.outlook)
    shown = [f for f in checked.findings if verbose or f.rule.needs != "release"]
    yield from finding_lines(shown, verbose=verbose)
    yield from matrix_lines(checked.verdicts)
    if checked.verdicts:
        yield line()
    yield _summary_line(checked)


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


def _summary_line(checked: CheckedCheckpoint) -> Line:
    """`NAME: clean`, or how much is wrong and how many findings a rewrite repairs."""
    number = sum(checked.ignored.values())
    ignored = f"; {count(number, 'finding')} ignored" if number else ""
    if checked.clean:
        return line(f"{visible(checked.name)}: ", ("clean", "bold green"), ignored)
    by_release = [f for f in checked.findings if f.rule.needs == "release"]
    severities = count_severities(f for f in checked.findings if f.rule.needs != "release")
    parts = [count(number, severity.value) for severity, number in severities.items() if number]
    wrong = {release for f in by_release for release in f.releases}
    if wrong:
        parts.append(f"wrong in {len(wrong):,} of {count(len(checked.verdicts), 'release')}")
    repaired = number_of(finding for finding in checked.findings if finding.fixed_by)
    advice = f"; ckptfix rewrite repairs {repaired:,}" if repaired else ""
    return line(f"{visible(checked.name)}: ", (", ".join(parts), "bold red"), advice, ignored)


def _total_line(report: CheckReport) -> Line:
    """How many checkpoints are clean, have findings, could not be checked."""
    checked = report.checkpoints
    failed = sum(bool(c.error) for c in checked)
    clean = sum(c.clean for c in checked)
    found = len(checked) - failed - clean
    parts = [f"{clean:,} clean"] if clean else []
    parts += [f"{found:,} with findings"] if found else []
    parts += [f"{failed:,} failed"] if failed else []
    return line(f"{count(len(checked), 'checkpoint')}: ", (", ".join(parts), "bold"))
