"""Styled lines: plain in a pipe, coloured by Rich on a terminal.

Rich is imported only where colour is printed. NO_COLOR, FORCE_COLOR and TERM=dumb are honoured.
"""

import os
import re
from collections.abc import Callable, Iterable
from typing import Final, TextIO

from ckptfix.text import backslashed, command_starts, without_controls

_NUMBER = re.compile(r"[\d,]+(\.\d+)?( [kMGT]?B)?\Z")

Line = tuple[tuple[str, str], ...]
"""Pieces of one line: (text, style); style is a Rich style, `COMMAND` or empty."""
COMMAND: Final = "command"
"""Style of a piece that CI runners are meant to act on, in a format made for them."""


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


def show(lines: Iterable[Line], stream: TextIO) -> None:
    """Print lines: nothing is wrapped, cropped or interpreted, by a terminal or a CI runner."""
    if not wants_colour(stream):
        write_plain(lines, stream)
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=stream, force_terminal=True, highlight=False, soft_wrap=True)
    for pieces in lines:
        console.print(Text.assemble(*safe(pieces)))


def write_plain(lines: Iterable[Line], stream: TextIO) -> None:
    """Write lines without any style."""
    stream.writelines(f"{_safe_text(pieces)}\n" for pieces in lines)
    stream.flush()


def _safe_text(pieces: Line) -> str:
    """The text of `safe`; most lines have no command, and then their pieces do not matter."""
    text = without_controls(plain(pieces))
    return plain(safe(pieces)) if command_starts(text) else text


def show_exactly(text: str, styled: Callable[[str], Iterable[Line]], stream: TextIO) -> None:
    """Print a text that a program will read with every character; a person gets it escaped.

    Args:
        text: ends with a line break.
        styled: its lines for a person.
        stream: where to.
    """
    if stream.isatty() or wants_colour(stream):
        show(styled(text), stream)
    else:
        stream.write(text)
        stream.flush()


def columns(rows: Iterable[tuple[str, ...]], gap: int = 2) -> list[str]:
    """Rows as columns: numbers and sizes aligned right, everything else left."""
    rows = list(rows)
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        (" " * gap)
        .join(
            cell.rjust(width) if _NUMBER.match(cell) else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        )
        .rstrip()
        for row in rows
    ]


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
