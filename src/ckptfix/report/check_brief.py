"""`check --quiet` and `check --statistics`: shorter than the full text report."""

from collections.abc import Iterator

from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import line
from ckptfix.report.layout import Block, Line, table
from ckptfix.report.outlook import answer_text
from ckptfix.report.spelling import REPAIR_COMMANDS
from ckptfix.rules.finding import Repair, numbers_by_rule
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
    findings = [finding for checked in report.checkpoints for finding in checked.findings]
    if not findings:
        yield line("no findings")
        return
    repaired = {
        repair: numbers_by_rule(f for f in findings if f.fixed_by is repair) for repair in Repair
    }
    rows = [("findings", "repaired", "code", "repaired by", "title")]
    for rule, number in numbers_by_rule(findings).most_common():
        by = {REPAIR_COMMANDS[r]: numbers[rule] for r, numbers in repaired.items() if numbers[rule]}
        repairs = ", ".join(by) or "-"
        rows.append((f"{number:,}", f"{sum(by.values()):,}", rule.code, repairs, rule.title))
    yield table(rows)
