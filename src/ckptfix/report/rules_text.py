"""The catalogue of rules, for people and machines."""

import textwrap
from collections.abc import Iterable, Iterator
from functools import partial

from ckptfix.report.console import line
from ckptfix.report.json_output import indented
from ckptfix.report.layout import Line, Table, table
from ckptfix.report.spelling import repair_command, spelled
from ckptfix.rules.finding import Rule, Severity

WIDTH = 80
"""Columns of a paragraph, also in a pipe and on a wide terminal, for readability."""

_STYLE = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def rules_table(rules: Iterable[Rule]) -> Table:
    """A table."""
    rows = [("code", "severity", "repaired by", "family", "title")]
    rows += [
        (
            rule.code,
            rule.severity.value,
            repair_command(rule.fixed_by) or "-",
            rule.family.title,
            rule.title,
        )
        for rule in rules
    ]
    return table(rows)


def rules_json(rules: Iterable[Rule]) -> Iterator[Line]:
    """Everything that is known of each rule."""
    rows = [
        {
            "code": rule.code,
            "severity": rule.severity.value,
            "family": rule.family.title,
            "title": rule.title,
            "why": spelled(rule.why),
            "fix": spelled(rule.fix),
            "fixed_by": repair_command(rule.fixed_by),
            "needs": rule.needs,
            "blocks_loading": rule.blocks_loading,
            "since": rule.since,
            "example": rule.example,
        }
        for rule in rules
    ]
    yield line(indented(rows))


def rule_lines(rule: Rule, width: int | None) -> Iterator[Line]:
    """One rule as text.

    Args:
        rule: the rule.
        width: columns of the terminal; None where there is no limit.
    """
    paragraph = partial(_paragraph, width=min(width or WIDTH, WIDTH))
    yield line((f"{rule.severity.value} {rule.code}", f"bold {_STYLE[rule.severity]}"))
    yield from paragraph(f"{rule.title} ({rule.family.title})")
    yield line()
    yield line(("why", "bold"))
    yield from paragraph(spelled(rule.why))
    yield line()
    yield line(("fix", "bold"))
    yield from paragraph(spelled(rule.fix))
    if rule.fixed_by:
        command = spelled(f"`{rule.fixed_by.value}`")
        yield from paragraph(
            f"{command} repairs it where check suggests it; add --dry-run to see the diff."
        )
    yield line()
    yield line(("example", "bold"))
    for text in rule.example.splitlines():
        yield line("  ", (text, {"-": "red", "+": "green"}.get(text[:1], "")))
    yield line()
    yield line(("to silence it", "bold"))
    yield line(f"  ckptfix check DIR --ignore {rule.code}")
    yield line()
    yield line(f"since ckptfix {rule.since}")


def _paragraph(text: str, *, width: int) -> Iterator[Line]:
    wrapped = textwrap.wrap(text, width - 2, break_long_words=False, break_on_hyphens=False)
    yield from (line(f"  {part}") for part in wrapped)
