"""The map of layers for people: a row for each kind of module, a letter for each stored format."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from ckptfix.operations.layer_map import ABSENT, SEVERAL, LayerMap, Legend, Row, Stack
from ckptfix.report.console import count, line, plain
from ckptfix.report.layout import Line, folded
from ckptfix.text import visible

MOST_ROWS: Final = 40
"""Rows shown of one stack; and stacks shown."""
WIDTH: Final = 80
"""Columns of the map without a terminal."""
_WIDEST_NAME: Final = 34
_NARROWEST: Final = 10
"""Layers shown side by side on any terminal."""
_STYLES: Final = ("green", "cyan", "magenta", "yellow", "blue", "red")


def layer_map_lines(layers: LayerMap, width: int) -> Iterator[Line]:
    """The legend, then every stack of layers.

    Args:
        layers: the map.
        width: columns of the terminal.
    """
    styles = _styles(layers.legend)
    yield from _legend_lines(layers, styles, width)
    for stack in layers.stacks[:MOST_ROWS]:
        yield line()
        yield from _stack_lines(stack, styles, width)
    if len(layers.stacks) > MOST_ROWS:
        yield line(f"and {len(layers.stacks) - MOST_ROWS:,} more")


def _styles(legend: Sequence[Legend]) -> dict[str, str]:
    quantized = [entry.letter for entry in legend if entry.letter != "."]
    return {letter: _STYLES[i % len(_STYLES)] for i, letter in enumerate(quantized)}


def _legend_lines(layers: LayerMap, styles: dict[str, str], width: int) -> Iterator[Line]:
    letters = set("".join(row.letters for stack in layers.stacks for row in stack.rows))
    entries = [line((e.letter, styles.get(e.letter, "")), f" {e.format}") for e in layers.legend]
    entries += [line(f"{SEVERAL} several")] if SEVERAL in letters else []
    entries += [line("blank: no such module")] if ABSENT in letters else []
    pieces = line(("layers", "bold"))
    for entry in entries:
        if len(plain(pieces)) + 2 + len(plain(entry)) > width:
            yield pieces
            pieces = line("      ")
        pieces += line("  ", *entry)
    yield pieces


def _stack_lines(stack: Stack, styles: dict[str, str], width: int) -> Iterator[Line]:
    rows = stack.rows[:MOST_ROWS]
    title = visible(stack.name) if stack.name else "modules outside of layers"
    names = [folded(visible(row.name), _WIDEST_NAME) for row in rows]
    first = max(map(len, names), default=0) + 4
    step = max(width - first, _NARROWEST) // 10 * 10
    for start in range(0, len(stack.layers), step):
        part = stack.layers[start : start + step]
        if not stack.name:
            yield line((title, "bold"))
        else:
            yield from _ruler_lines(title if start == 0 else "", part, first, width)
        for name, row in zip(names, rows, strict=True):
            yield line(f"  {name:<{first - 2}}", *_letters(row, start, step, styles))
    if len(stack.rows) > len(rows):
        yield line(f"  and {count(len(stack.rows) - len(rows), 'more row')}")


def _ruler_lines(title: str, layers: Sequence[int], first: int, width: int) -> Iterator[Line]:
    """The number of every tenth layer, after the name of the stack where both fit."""
    ruler = "".join(f"{number:<10}" for number in layers[::10]).rstrip()
    if len(title) + 2 > first:
        yield line((folded(title, max(width, first)), "bold"))
        title = ""
    yield line((f"{title:<{first}}", "bold"), ruler)


def _letters(row: Row, start: int, step: int, styles: dict[str, str]) -> Iterable[tuple[str, str]]:
    letters = row.letters[start : start + step].rstrip()
    for letter, run in groupby(letters):
        yield "".join(run), styles.get(letter, "")
