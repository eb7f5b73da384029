"""The output formats of `check`: each is one row here and one file next to this one.

Imports nothing slow: `ckptfix check --help` reads the table.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ckptfix.report.check_report import CheckReport
    from ckptfix.report.layout import Block

Render = Callable[["CheckReport", bool], Iterable["Block"]]
"""Turns a report into lines; the second argument requests every finding instead of groups."""

FORMATS: Final = {
    "text": "for people",
    "json": "one report",
    "jsonl": "one line per checkpoint, written as soon as it is checked",
    "sarif": "for code scanning",
    "github": "workflow annotations",
    "junit": "test results",
    "html": "one page with a picture of every checkpoint",
}
"""Name -> description for `--help`. The function `check_<name>` of the file of the same name
renders it."""


def renderer(name: str) -> Render:
    """The function that renders a format."""
    module = f"check_{name}"
    render: Render = getattr(import_module(f"ckptfix.report.{module}"), module)
    return render
