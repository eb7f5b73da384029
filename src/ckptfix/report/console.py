"""Styled lines: plain in a pipe, coloured by Rich on a terminal.

Rich is imported only where colour is printed. NO_COLOR, FORCE_COLOR and TERM=dumb are honoured.
"""

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final, TextIO

from ckptfix.report import progress
from ckptfix.report.layout import SHELL, Block, Line, fitted
from ckptfix.text import backslashed, command_starts, without_controls

COMMAND: Final = "command"
"""Style of a piece that CI runners should act on, in a format made for them."""


def line(*pieces: str | tuple[str, str]) -> Line:
    """A line of plain strings and (text, style) pairs."""
    return tuple((piece, "") if isinstance(piece, str) else piece for piece in pieces)


def plain(pieces: Line) -> str:
    """The text of a line without its styles."""
    return "".join(text for text, _ in pieces)


def safe(pieces: Line) -> Line:
    """The line with everything escaped that a terminal or a CI runner would act on.

    Commands are looked for in the whole line, so none can be put together from two pieces.
    """
    shown = [(without_controls(text), style) for text, style in pieces]
    starts = set(command_starts("".join(text for text, _ in shown)))
    if not starts:
        return tuple(shown)
    made, offset = [], 0
    for text, style in shown:
        marked = starts if style != COMMAND else ()
        characters = (
            backslashed(c) if place in marked else c for place, c in enumerate(text, offset)
        )
        made.append(("".join(characters), style))
        offset += len(text)
    return tuple(made)


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour what goes to this stream (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int | None:
    """Columns of a terminal; `COLUMNS` also applies to a pipe, which otherwise has no limit."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError):  # it is in memory
        return None


def show(blocks: Iterable[Block], stream: TextIO) -> None:
    """Print a report as wide as the terminal is; nothing in it acts on one, or on a CI runner."""
    _print(fitted(blocks, width_of(stream)), stream)


def _print(lines: Iterable[Line], stream: TextIO) -> None:
    if not wants_colour(stream):
        write_plain(lines, stream)
        return
    progress.erase()
    codes = _codes_of(stream)
    for pieces in lines:
        for text, style in safe(pieces):
            before, after = codes(style if text else "")
            stream.write(f"{before}{text}{after}")
        stream.write("\n")
    stream.flush()


def _codes_of(stream: TextIO) -> Callable[[str], tuple[str, str]]:
    """The escape sequences before and after a text of a style.

    Rich decides once for each style: printing each line with it takes a hundred times as long,
    half a minute for the patch of a large checkpoint.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=stream, force_terminal=True, highlight=False)

    @cache
    def codes(style: str) -> tuple[str, str]:
        with console.capture() as captured:
            console.print(Text("x", "" if style == SHELL else style), end="")
        before, _, after = captured.get().partition("x")
        return before, after

    return codes


def write_plain(blocks: Iterable[Block], stream: TextIO) -> None:
    """Write a report without styles, with unbroken lines and table rows."""
    progress.erase()
    stream.writelines(f"{_safe_text(pieces)}\n" for pieces in fitted(blocks, None))
    stream.flush()


def _safe_text(pieces: Line) -> str:
    """The text of `safe`, faster for lines without a command, which are nearly all."""
    text = without_controls(plain(pieces))
    return plain(safe(pieces)) if command_starts(text) else text


def show_exactly(text: str, styled: Callable[[str], Iterable[Line]], stream: TextIO) -> None:
    """Print a text that a program will read with every character; a person gets it escaped.

    It is not fitted to a terminal, because a patch with broken lines is invalid.

    Args:
        text: ends with a line break.
        styled: its lines for a person.
        stream: where to.
    """
    if stream.isatty() or wants_colour(stream):
        _print(styled(text), stream)
    else:
        progress.erase()
        stream.write(text)
        stream.flush()


def count(number: int, singular: str, plural: str = "") -> str:
    """`1 name`, `2 names`.

    >>> count(1, "entry", "entries"), count(2000, "name")
    ('1 entry', '2,000 names')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def size(nbytes: int) -> str:
    """Bytes in decimal units.

    >>> size(999), size(1_500_000)
    ('999 B', '1.5 MB')
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes} B"
