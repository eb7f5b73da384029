"""The output formats of `check`: one row and one file each."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final

from ckptfix.report.check_report import CheckReport
from ckptfix.report.console import Line

Render = Callable[[CheckReport, bool], Iterable[Line]]
"""Turns a report into lines; the second argument asks for every finding instead of groups."""

FORMATS: Final = {
    "text": "check_text",
    "json": "check_json",
    "jsonl": "check_jsonl",
    "sarif": "check_sarif",
    "github": "check_github",
    "junit": "check_junit",
}
"""Name -> the module beside this one with a function of the same name: a call pays for one."""


def renderer(name: str) -> Render:
    """The function that renders a format."""
    module = FORMATS[name]
    render: Render = getattr(import_module(f"ckptfix.report.{module}"), module)
    return render
