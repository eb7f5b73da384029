"""The catalogue of rules, for people and machines."""

import json
import textwrap
from collections.abc import Iterable, Iterator

from ckptfix.commands import with_name
from ckptfix.report.console import Line, columns, line
from ckptfix.rules.catalogue import family_of
from ckptfix.rules.finding import Rule, Severity

WIDTH = 88
"""Of prose; lines of a report are never broken, but these are paragraphs."""

_STYLE = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def rules_lines(rules: Iterable[Rule]) -> Iterator[Line]:
    """A table."""
    rows = [("code", "severity", "repaired by", "family", "title")]
    rows += [
        (
            rule.code,
            rule.severity.value,
            rule.fixed_by or "-",
            family_of(rule),
            rule.title,
        )
        for rule in rules
    ]
    header, *body = columns(rows)
    yield line((header, "bold"))
    yield from (line(text) for text in body)


def rules_json(rules: Iterable[Rule]) -> str:
    """Everything that is known of each rule."""
    rows = [
        {
            "code": rule.code,
            "severity": rule.severity.value,
            "family": family_of(rule),
            "title": rule.title,
            "why": rule.why,
            "fix": rule.fix,
            "fixed_by": rule.fixed_by or None,
        }
        for rule in rules
    ]
    return json.dumps(rows, indent=2) + "\n"


def rule_lines(rule: Rule) -> Iterator[Line]:
    """One rule, to be read."""
    yield line((f"{rule.severity.value} {rule.code}", f"bold {_STYLE[rule.severity]}"))
    yield from _paragraph(f"{rule.title} ({family_of(rule)})")
    yield line()
    yield line(("why", "bold"))
    yield from _paragraph(rule.why)
    yield line()
    yield line(("fix", "bold"))
    yield from _paragraph(rule.fix)
    if rule.fixed_by:
        command = with_name(f"ckptfix {rule.fixed_by}", "DIR")
        yield from _paragraph(f"{command} repairs it; add --dry-run to see the diff.")
    yield line()
    yield line(("leave it out", "bold"))
    yield line(f"  ckptfix check DIR --ignore {rule.code}")


def _paragraph(text: str) -> Iterator[Line]:
    wrapped = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    yield from (line(f"  {part}") for part in wrapped)
