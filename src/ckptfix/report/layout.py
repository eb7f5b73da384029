"""Lines and tables fitted to the width of a terminal: no word is broken, no column cut off.

Without a width, as in a pipe or a file, every line and every row is one line of text.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

Line = tuple[tuple[str, str], ...]
"""Pieces of one line: (text, style); style is a Rich style, `COMMAND`, `SHELL` or empty."""
SHELL: Final = "shell"
"""Style of a piece that is a command to paste: lines are broken so that a shell continues
reading."""
GAP: Final = 2
"""Spaces between two columns."""
LEAST_NAME: Final = 24
"""Minimum width of a folded name."""
WHOLE: Final = 14
"""Cells up to this width are never broken."""
_READ_ON: Final = " \\"
"""What a command ends with that continues on the next line."""

_NUMBER: Final = re.compile(r"[\d,]+(\.\d+)?( [kMGT]?B)?\Z")
_COUNTED: Final = re.compile(r"(\S+)( \([\d,]+\))\Z")
"""A folded name and the number of names in it: `layers.{0-3}.q (4)`."""
_WORD: Final = re.compile(r"\S+")
_SHELL_WORD: Final = re.compile(r"(?:[^\s'\"\\]|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\")+")
_LABEL: Final = re.compile(r" *\S+(?: \S+)* {2,}")
"""What a line begins with where it has two columns."""
_JOINT: Final = re.compile(r"[^./,_:=-]*[./,_:=-]+|[^./,_:=-]+")
"""Parts of a name between which it may continue on the next line."""


@dataclass(frozen=True)
class Table:
    """Rows of cells."""

    rows: tuple[tuple[str, ...], ...]
    """Each with the same number of cells; leading spaces of the first cell are an indentation."""
    styles: tuple[str, ...]
    """Of each row."""


Block = Line | Table


def table(rows: Iterable[Sequence[str]], styles: Iterable[str] = (), *, head: bool = True) -> Table:
    """Rows as a table.

    Args:
        rows: with equally many cells.
        styles: of the rows below the head; plain by default.
        head: the first row names the columns.
    """
    made = tuple(map(tuple, rows))
    below = len(made) - head
    given = tuple(styles) or ("",) * below
    return Table(made, ("bold", *given) if head and made else given)


def fitted(blocks: Iterable[Block], width: int | None) -> Iterator[Line]:
    """The lines of a report.

    Args:
        blocks: lines and tables.
        width: columns of the terminal; None where there is no limit.
    """
    for block in blocks:
        if isinstance(block, Table):
            yield from _table_lines(block, width)
        elif width is None or cells("".join(text for text, _ in block)) <= width:
            yield block
        else:
            yield from _wrapped(block, width)


def cells(text: str) -> int:
    """Columns that a text takes on a terminal.

    >>> cells("ab"), cells("層")
    (2, 2)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def folded(name: str, width: int) -> str:
    """A name without its middle, because the end is the most specific.

    >>> folded("language_model.model.layers.3.mixer.qkv_proj", 24)
    'langu...mixer.qkv_proj'
    """
    if cells(name) <= width:
        return name
    head, tail = _start(name, (width - 3) // 4), _start(name[::-1], (width - 3) * 3 // 4)
    return f"{head.rstrip('.')}...{tail[::-1].lstrip('.')}"


def _start(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    end = 0
    while end < len(text) and cells(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def _table_lines(made: Table, width: int | None) -> Iterator[Line]:
    if not made.rows:
        return
    natural = [max(cells(row[i]) for row in made.rows) for i in range(len(made.rows[0]))]
    if width is None or sum(natural) + GAP * (len(natural) - 1) <= width:
        yield from _rows(made, range(len(natural)), natural)
        return
    least = [max(map(_least, column)) for column in zip(*made.rows, strict=True)]
    for group in _column_groups(least, width):
        room = width - GAP * (len(group) - 1)
        shares = _shares([natural[i] for i in group], [least[i] for i in group], room)
        yield from _rows(made, group, shares)


def _least(cell: str) -> int:
    """The narrowest column that a cell can be in."""
    indent = len(cell) - len(cell.lstrip(" "))
    if cells(cell) <= WHOLE or _NUMBER.match(cell):
        return cells(cell)
    counted = _COUNTED.match(cell.strip())
    if counted:
        return indent + min(cells(counted[1]), LEAST_NAME) + len(counted[2])
    return indent + max((min(cells(word), LEAST_NAME) for word in cell.split()), default=0)


def _column_groups(least: Sequence[int], width: int) -> list[list[int]]:
    """The columns of each table: one table, or several that repeat the first column."""
    groups = [[0]]
    for column in range(1, len(least)):
        wide = sum(least[i] + GAP for i in groups[-1]) + least[column]
        if wide > width and len(groups[-1]) > 1:
            groups.append([0])
        groups[-1].append(column)
    return groups


def _shares(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths between `least` and `natural`; the narrowest grow first, as far as there is room."""
    made = list(least)
    for _ in range(room - sum(least)):
        short = [i for i in range(len(made)) if made[i] < natural[i]]
        if not short:
            break
        made[min(short, key=lambda i: made[i])] += 1
    return made


def _rows(made: Table, columns: Sequence[int], widths: Sequence[int]) -> Iterator[Line]:
    filled = [
        _column([row[i] for row in made.rows], w) for i, w in zip(columns, widths, strict=True)
    ]
    for row, style in zip(zip(*filled, strict=True), made.styles, strict=True):
        for number in range(max(map(len, row))):
            parts = [cell[number] if number < len(cell) else "" for cell in row]
            padded = (
                _padded(part, width, right=bool(_NUMBER.match(part)))
                for part, width in zip(parts, widths, strict=True)
            )
            yield (((" " * GAP).join(padded).rstrip(), style),)


def _padded(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - cells(text))
    return f"{blanks}{text}" if right else f"{text}{blanks}"


def _column(column: Sequence[str], width: int) -> list[list[str]]:
    """The lines of each cell; names are folded unless two would look the same."""
    made = [_cell(cell, width, fold=True) for cell in column]
    known = {tuple(lines): cell for lines, cell in zip(made, column, strict=True)}
    if all(known[tuple(lines)] == cell for lines, cell in zip(made, column, strict=True)):
        return made
    return [_cell(cell, width, fold=False) for cell in column]


def _cell(cell: str, width: int, *, fold: bool) -> list[str]:
    if cells(cell) <= width:
        return [cell]
    indent = " " * (len(cell) - len(cell.lstrip(" ")))
    room = width - len(indent)
    counted = _COUNTED.match(cell.strip()) if fold else None
    if counted:
        return [f"{indent}{folded(counted[1], room - len(counted[2]))}{counted[2]}"]
    lines = [""]
    for word in cell.split():
        for number, part in enumerate([folded(word, room)] if fold else _broken(word, room)):
            gap = "" if number or not lines[-1] else " "
            if lines[-1] and cells(lines[-1]) + len(gap) + cells(part) > room:
                lines.append(part)
            else:
                lines[-1] += gap + part
    return [indent + text for text in lines]


def _broken(word: str, width: int) -> list[str]:
    """A name in parts that fit, each up to a dot or a slash; one without either stays whole."""
    parts = [""]
    for part in _JOINT.findall(word):
        if parts[-1] and cells(parts[-1]) + cells(part) > width:
            parts.append(part)
        else:
            parts[-1] += part
    return parts


def _wrapped(pieces: Line, width: int) -> Iterator[Line]:
    """A line as several, the later ones indented below the text of the first."""
    text = "".join(piece for piece, _ in pieces)
    shell = _shell_span(pieces)
    indent = len(text) - len(text.lstrip(" "))
    label = _LABEL.match(text)
    hang = label.end() if label and not shell and label.end() <= width // 2 else indent + 4
    lead, start, end, column = " " * indent, indent, indent, indent
    in_comment = False
    for first, last in _spans(text, shell, width - hang):
        begin, until = shell or (len(text), len(text))
        comment = shell is not None and text[first:last] == "#"
        need = cells(text[end:first]) + cells(text[first:last])
        limit = width - len(_READ_ON) if begin <= first and last < until else width
        breaks = column + need > limit or (comment and column + cells(text[end:]) > width)
        if breaks and end > start:
            tail = ((_READ_ON, SHELL),) if begin < first < until else ()
            yield (((lead, ""),) if lead else ()) + _slice(pieces, start, end) + tail
            in_comment = in_comment or comment
            lead = " " * hang + ("# " if in_comment and not comment else "")
            start, column = first, len(lead)
            need = cells(text[first:last])
        column, end = column + need, last
    yield ((lead, ""),) * bool(lead) + _slice(pieces, start, end)


def _shell_span(pieces: Line) -> tuple[int, int] | None:
    """Where the command of a line is."""
    offset = 0
    for text, style in pieces:
        if style == SHELL:
            return offset, offset + len(text)
        offset += len(text)
    return None


def _spans(text: str, shell: tuple[int, int] | None, room: int) -> Iterator[tuple[int, int]]:
    """Where each word begins and ends; a word of a command is quoted as a whole."""
    begin, until = shell or (len(text), len(text))
    yield from _words(text, 0, begin, room)
    yield from (found.span() for found in _SHELL_WORD.finditer(text, begin, until))
    yield from _words(text, until, len(text), room)


def _words(text: str, begin: int, until: int, room: int) -> Iterator[tuple[int, int]]:
    for found in _WORD.finditer(text, begin, until):
        start = found.start()
        for part in _broken(found[0], room) if cells(found[0]) > room else [found[0]]:
            yield start, start + len(part)
            start += len(part)


def _slice(pieces: Line, start: int, end: int) -> Line:
    """The part of a line between two places."""
    made, offset = [], 0
    for text, style in pieces:
        part = text[max(start - offset, 0) : max(end - offset, 0)]
        if part:
            made.append((part, style))
        offset += len(text)
    return tuple(made)
