"""The map of layers as shapes, which a template draws as SVG."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.expert_banks import Banks
from ckptfix.operations.layer_map import Difference, LayerMap, Row, Spot, Stack
from ckptfix.report.console import count
from ckptfix.report.folding import fold_all, mask_numbers
from ckptfix.report.releases import target_ranges
from ckptfix.runtimes.module_verdict import UNQUANTIZED
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

CELL: Final = 12
"""Width of a layer, in pixels."""
ROW: Final = 18
"""Height of a row."""
_EDGE: Final = 1
MOST_ROWS: Final = 60
"""Rows drawn of one stack, and stacks of one checkpoint."""
MOST_NAMES: Final = 6
"""Groups of names spelled out in one place."""
_COLOURS: Final = 8
"""Colours that the template has for formats."""


class Shape(Struct, frozen=True):
    """All cells of a row in the same state."""

    colour: str
    """A class of the template."""
    path: str
    """SVG path."""
    title: str
    """Names of the modules and what happens to them."""
    wrong: bool
    """Some release builds a different format."""


class PictureRow(Struct, frozen=True):
    """One kind of module."""

    name: str
    letters: str
    top: int
    shapes: tuple[Shape, ...]


class Picture(Struct, frozen=True):
    """One stack of layers."""

    name: str
    """Empty for modules outside of any layer."""
    width: int
    height: int
    axis: tuple[tuple[int, int], ...]
    """(x, number) of every tenth layer."""
    rows: tuple[PictureRow, ...]
    hidden: int
    """Rows that are not drawn."""


class Built(Struct, frozen=True):
    """Modules that some releases build in a different format than stored, for the same reason."""

    releases: str
    stored: str
    resolved: str
    reason: str
    names: str
    """Folded; the first few, and how many modules they are."""


def colours(maps: Iterable[LayerMap]) -> dict[str, str]:
    """Stored format -> class of the template, the same for all checkpoints of a page."""
    formats = sorted({entry.format for layers in maps for entry in layers.legend} - {UNQUANTIZED})
    found = {name: f"f{number % _COLOURS}" for number, name in enumerate(formats)}
    return {**found, UNQUANTIZED: "plain"}


class Words(Struct, frozen=True):
    """Formats a checkpoint's modules and releases as text."""

    banks: Banks | None
    """Banks whose expert 0 represents all of them."""
    targets: tuple[Target, ...]
    """All releases, in the order in which they are shown."""

    def names(self, modules: Sequence[str]) -> str:
        """Names folded, the first few, and how many modules they are."""
        folded = fold_all(modules, self.banks)
        more = f" and {len(folded) - MOST_NAMES:,} more" if len(folded) > MOST_NAMES else ""
        number = self.number(modules)
        total = f" ({count(number, 'module')})" if number > 1 else ""
        return f"{visible(', '.join(folded[:MOST_NAMES]))}{more}{total}"

    def number(self, modules: Sequence[str]) -> int:
        """How many modules they represent."""
        return len(modules) if self.banks is None else sum(map(self.banks.number, modules))

    def releases(self, difference: Difference) -> str:
        """Its releases, as ranges."""
        return target_ranges(self.targets, difference.releases)


def pictures(
    layers: LayerMap, colour: Mapping[str, str], words: Words
) -> tuple[tuple[Picture, ...], int]:
    """A picture of each stack, and the number of those that are not drawn."""
    drawn = layers.stacks[:MOST_ROWS]
    made = tuple(_picture(stack, colour, words) for stack in drawn)
    return made, len(layers.stacks) - len(drawn)


def _picture(stack: Stack, colour: Mapping[str, str], words: Words) -> Picture:
    rows = stack.rows[:MOST_ROWS]
    return Picture(
        visible(stack.name),
        CELL * len(stack.layers),
        ROW * len(rows),
        tuple((CELL * at, n) for at, n in enumerate(stack.layers) if at % 10 == 0),
        tuple(
            PictureRow(
                visible(row.name),
                row.letters.rstrip(),
                ROW * place,
                tuple(_shapes(row, ROW * place, colour, words)),
            )
            for place, row in enumerate(rows)
        ),
        len(stack.rows) - len(rows),
    )


def _like(difference: Difference) -> tuple[object, ...]:
    """Equal for differences that differ only in numbers of layers and experts."""
    return difference.releases, difference.resolved, mask_numbers(difference.reason)


def _shapes(row: Row, top: int, colour: Mapping[str, str], words: Words) -> Iterator[Shape]:
    """One for each format and what releases build instead, so that a tall stack stays small."""
    states: dict[tuple[object, ...], list[int]] = {}
    for at, spot in enumerate(row.spots):
        if spot is not None:
            state = spot.formats, *map(_like, spot.differences)
            states.setdefault(state, []).append(at)
    for places in states.values():
        spots = [spot for at in places if (spot := row.spots[at]) is not None]
        formats, differences = spots[0].formats, spots[0].differences
        names = words.names([name for spot in spots for name in spot.modules])
        built = [
            f"{words.releases(d)} builds {d.resolved}: {visible(d.reason)}" for d in differences
        ]
        yield Shape(
            colour[formats[0]] if len(formats) == 1 else "several",
            "".join(_path(places, top, joined=not differences)),
            "; ".join((f"{names}: stored as {spots[0].format}", *built)),
            bool(differences),
        )


def _path(places: Sequence[int], top: int, *, joined: bool) -> Iterator[str]:
    """Rectangles: neighbours as one, or each with an outline of its own."""
    runs = [
        [at for _, at in run] for _, run in groupby(enumerate(places), key=lambda p: p[1] - p[0])
    ]
    for run in runs if joined else [[at] for at in places]:
        wide, high = CELL * len(run) - 2 * _EDGE, ROW - 2 * _EDGE
        yield f"M{CELL * run[0] + _EDGE} {top + _EDGE}h{wide}v{high}h-{wide}z"


def built_otherwise(layers: LayerMap, words: Words) -> tuple[Built, ...]:
    """The differences of the map in words, for print and touch screens."""
    groups: dict[tuple[object, ...], tuple[Spot, Difference, list[str]]] = {}
    spots = (s for stack in layers.stacks for row in stack.rows for s in row.spots if s is not None)
    for spot in spots:
        for difference in spot.differences:
            key = spot.formats, *_like(difference)
            groups.setdefault(key, (spot, difference, []))[2].extend(spot.modules)
    return tuple(
        Built(
            words.releases(difference),
            spot.format,
            difference.resolved,
            visible(difference.reason),
            words.names(modules),
        )
        for spot, difference, modules in groups.values()
    )
