"""`check --format github`: workflow commands, which GitHub Actions shows as annotations.

The escapes are those of actions/toolkit, packages/core/src/command.ts.
"""

from collections.abc import Iterator

from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.report.check_groups import answers_text, group_text, groups, path_of
from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import COMMAND, line
from ckptfix.report.folding import Group
from ckptfix.report.layout import Line
from ckptfix.report.outlook import answer_text


def check_github(report: CheckReport, verbose: bool) -> Iterator[Line]:
    """One annotation for each group of similar findings, failed check, and answer."""
    for checked in report.checkpoints:
        if checked.error:
            title = f"{checked.name}: check failed"
            yield _command("error", checked.error, title=title)
        for group in groups(checked, verbose):
            place = group.members[0].place
            yield _command(
                group.rule.severity.value,
                group_text(group),
                file=str(path_of(report, checked, place.file)),
                line=str(place.line or 1),
                title=_title(group),
            )
        if not checked.error:
            yield _answer(report, checked)
    if report.skipped:
        errors = "\n".join(skipped.error for skipped in report.skipped)
        yield _command("notice", errors, title=f"{len(report.skipped)} skipped")


def _answer(report: CheckReport, checked: CheckedCheckpoint) -> Line:
    """What every release answers; an error if no finding reports it as one."""
    reported = any(finding.rule.needs == "release" for finding in checked.findings)
    rejected = any(map(report.rejects, checked.runtimes))
    kind = "error" if rejected and not reported else "notice"
    does = answer_text(checked, allow_unknown=report.allow_unknown)
    return _command(kind, answers_text(checked), title=f"{checked.name}: {does}")


def _title(group: Group) -> str:
    return f"{group.rule.code} {group.rule.title}"


def _command(kind: str, message: str, **properties: str) -> Line:
    shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return line((f"::{kind} ", COMMAND), f"{shown}::{_data(message)}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
