"""`check --format junit`: a suite for each checkpoint, a case for each rule and each release."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from msgspec import Struct

from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.report.check_groups import group_text, groups
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import count, line
from ckptfix.report.folding import Group
from ckptfix.report.layout import Line
from ckptfix.rules.finding import Rule, number_of
from ckptfix.runtimes.loads import Answer
from ckptfix.text import inert, visible

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, even escaped."""


class _Case(Struct, frozen=True):
    """A test case and how it ended."""

    name: str
    outcome: str = ""
    """`failure`, `error`, `skipped`, `system-out`; empty if it passed without output."""
    kind: str = ""
    message: str = ""
    details: str = ""


def check_junit(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """Findings below --fail-on appear as output of a passing case."""
    suites = [(c, _cases(report, c, verbose)) for c in report.checkpoints]
    suites += [(s, [_Case("can be checked", "skipped", message=s.error)]) for s in report.skipped]
    total = [case for _, cases in suites for case in cases]
    yield line('<?xml version="1.0" encoding="UTF-8"?>')
    yield line(f'<testsuites name="ckptfix check" {_numbers(total)}>')
    for checked, cases in suites:
        name = _xml(checked.name)
        skipped = sum(case.outcome == "skipped" for case in cases)
        yield line(f'  <testsuite name="{name}" {_numbers(cases)} skipped="{skipped}">')
        for case in cases:
            yield from _case_lines(name, case)
        yield line("  </testsuite>")
    yield line("</testsuites>")


def _cases(report: CheckReport, checked: CheckedCheckpoint, verbose: bool) -> list[_Case]:
    if checked.error:
        return [_Case("can be checked", "error", "unreadable", checked.error)]
    made = groups(checked, verbose)
    cases = [
        _rule_case(report, rule, [group for group in made if group.rule is rule])
        for rule in checked.rules
        if rule.needs == "headers"  # what needs weights is not run here
    ]
    by_release = [group for group in made if group.rule.needs == "release"]
    return cases + list(_release_cases(report, checked, by_release))


def _rule_case(report: CheckReport, rule: Rule, found: Sequence[Group]) -> _Case:
    name = f"{rule.code} {rule.title}"
    if not found:
        return _Case(name)
    fails = any(report.fails(finding) for group in found for finding in group.members)
    number = sum(number_of(group.members) for group in found)
    message = f"{count(number, 'finding')}, {rule.title}"
    return _Case(name, "failure" if fails else "system-out", rule.code, message, _details(found))


def _release_cases(
    report: CheckReport, checked: CheckedCheckpoint, found: Sequence[Group]
) -> Iterator[_Case]:
    """Only releases that count can fail; the others are reported as output."""
    for answer in checked.runtimes:
        release, text = str(answer.target), visible(str(answer.answer))
        name = f"{release} loads it"
        wrong = [group for group in found if release in group.members[0].releases]
        if answer.loads is Answer.YES:
            yield _Case(name)
        elif report.rejects(answer):
            kind = wrong[0].rule.code if wrong else answer.loads.value
            yield _Case(name, "failure", kind, text, _details(wrong))
        else:
            yield _Case(name, "skipped", message=text)


def _details(found: Iterable[Group]) -> str:
    return "\n".join(f"{group_text(group)}\n  at {group.members[0].place}" for group in found)


def _case_lines(suite: str, case: _Case) -> Iterator[Line]:
    head = f'    <testcase classname="{suite}" name="{_xml(case.name)}"'
    if not case.outcome:
        yield line(f"{head}/>")
        return
    yield line(f"{head}>")
    if case.outcome == "system-out":
        yield line(f"      <system-out>{_xml(case.details)}</system-out>")
    else:
        kind = f' type="{case.kind}"' if case.kind else ""
        message = f' message="{_xml(case.message)}"'
        yield line(f"      <{case.outcome}{kind}{message}>{_xml(case.details)}</{case.outcome}>")
    yield line("    </testcase>")


def _numbers(cases: Sequence[_Case]) -> str:
    failures = sum(case.outcome == "failure" for case in cases)
    errors = sum(case.outcome == "error" for case in cases)
    return f'tests="{len(cases)}" failures="{failures}" errors="{errors}"'


def _xml(text: str) -> str:
    printable = _NOT_XML.sub(lambda c: c.group().encode("unicode_escape").decode(), text)
    return inert(escape(printable), lambda character: f"&#{ord(character)};")
