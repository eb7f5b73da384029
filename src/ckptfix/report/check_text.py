"""`check` for people."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ckptfix.names import visible
from ckptfix.report.console import Line, count, line
from ckptfix.report.folding import fold
from ckptfix.report.matrix import matrix_lines
from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.verdict import TargetVerdict

MOST_SUBJECTS = 12
"""Groups of names shown under one finding before the rest is only counted."""

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def check_lines(
    name: str,
    findings: Sequence[Finding],
    verdicts: Sequence[TargetVerdict] = (),
    *,
    verbose: bool,
) -> Iterator[Line]:
    """All findings, under their rules, and a summary."""
    for code in sorted({finding.code for finding in findings}):
        rule = RULES[code]
        yield line((f"{rule.severity.value} {code}", _STYLE[rule.severity]), f" {rule.title}")
        of_rule = [finding for finding in findings if finding.code == code]
        yield from _unfolded(of_rule) if verbose else _folded(of_rule)
        yield line()
    yield from matrix_lines(verdicts)
    if verdicts:
        yield line()
    yield summary_line(name, findings, verdicts)


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
            yield line(f"  and {more:,} more, listed with --verbose")
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


def summary_line(
    name: str, findings: Sequence[Finding], verdicts: Sequence[TargetVerdict] = ()
) -> Line:
    """`NAME: clean`, or how much is wrong and how many findings a rewrite repairs."""
    failing = sum(verdict.fails for verdict in verdicts)
    if not findings and not failing:
        return line(f"{visible(name)}: ", ("clean", "bold green"))
    severities = Counter(RULES[finding.code].severity for finding in findings)
    parts = [count(severities[s], s.value) for s in Severity if severities[s]]
    if failing:
        parts.append(f"wrong in {failing:,} of {count(len(verdicts), 'release')}")
    repaired = sum(RULES[finding.code].fixed_by_rewrite for finding in findings)
    advice = f"; ckptfix rewrite repairs {repaired:,}" if repaired else ""
    return line(f"{visible(name)}: ", (", ".join(parts), "bold red"), advice)
