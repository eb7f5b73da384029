"""`check --quiet` and `check --statistics`: shorter than the full text report."""

from collections import Counter
from collections.abc import Iterator

from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import line
from ckptfix.report.layout import Block, Line, table
from ckptfix.report.outlook import answer_text
from ckptfix.report.spelling import repair_command
from ckptfix.rules.finding import Rule
from ckptfix.text import visible


def quiet_lines(report: CheckReport, _verbose: bool) -> Iterator[Line]:
    """One line for each checkpoint that does not pass; errors go to stderr."""
    for checked in report.checkpoints:
        if checked.error or report.passes(checked):
            continue
        codes = sorted({finding.code for finding in checked.findings})
        found = f" ({', '.join(codes)})" if codes else ""
        answer = answer_text(checked, allow_unknown=report.allow_unknown)
        yield line((visible(checked.name), "bold"), f": {answer}{found}")


def statistics_blocks(report: CheckReport, _verbose: bool) -> Iterator[Block]:
    """The number of findings of each rule, largest first, and what repairs them."""
    numbers = Counter[Rule]()
    repaired = Counter[Rule]()
    for checked in report.checkpoints:
        for finding in checked.findings:
            numbers[finding.rule] += finding.count
            repaired[finding.rule] += finding.count if finding.fixed_by else 0
    if not numbers:
        yield line("no findings")
        return
    rows = [("findings", "repaired", "code", "repaired by", "title")]
    rows += [
        (
            f"{number:,}",
            f"{repaired[rule]:,}",
            rule.code,
            repair_command(rule.fixed_by) or "-",
            rule.title,
        )
        for rule, number in sorted(numbers.items(), key=lambda row: (-row[1], row[0].code))
    ]
    yield table(rows)
