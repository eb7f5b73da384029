"""The output formats of `check`: one row and one file each."""

from collections.abc import Callable, Iterable
from typing import Final

from ckptfix.report.check_github import check_github
from ckptfix.report.check_json import check_json
from ckptfix.report.check_junit import check_junit
from ckptfix.report.check_report import CheckReport
from ckptfix.report.check_sarif import check_sarif
from ckptfix.report.check_text import check_text
from ckptfix.report.console import Line

Render = Callable[[CheckReport, bool], Iterable[Line]]
"""Turns a report into lines; the second argument asks for every finding instead of groups."""

FORMATS: Final[dict[str, Render]] = {
    "text": check_text,
    "json": check_json,
    "sarif": check_sarif,
    "github": check_github,
    "junit": check_junit,
}
