"""A patch as lines to show."""

from collections.abc import Iterator

from ckptfix.report.console import line
from ckptfix.report.layout import Line

_STYLES = {"-": "red", "+": "green", "@": "cyan"}


def diff_lines(patch: str) -> Iterator[Line]:
    """A patch as lines to show; in a pipe they are its exact text."""
    for text in patch.removesuffix("\n").split("\n"):
        style = "bold" if text.startswith(("--- ", "+++ ")) else _STYLES.get(text[:1], "")
        yield line((text, style))
