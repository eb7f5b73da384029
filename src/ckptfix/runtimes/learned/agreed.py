"""What a class does alike in two releases, and so in those between them.

Names, layers and formats in which the two differ, or that were tried in one of them only, are left
out. A checkpoint that has them is not covered: see `doubts`.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Final

from msgspec.structs import replace

from ckptfix.runtimes.learned.records import (
    ArchitectureRecord,
    BlockRecord,
    NameRecord,
    TableRecord,
)
from ckptfix.runtimes.learned.table import names_in, whole_name

_ALWAYS: Final = ""
_TOP: Final = ""
"""The block that also has the names of the others."""
Sets = frozenset[frozenset[str]]


def agreed_origin(older: ArchitectureRecord, newer: ArchitectureRecord) -> ArchitectureRecord:
    """The newer one, with what the older one adds against a verdict."""
    return replace(
        newer,
        only_type=newer.only_type or older.only_type,
        needs=tuple(dict.fromkeys((*newer.needs, *older.needs))),
        single_pass=older.single_pass and newer.single_pass,
        heads=tuple(head for head in newer.heads if head in older.heads),
        source="invented" if "invented" in (older.source, newer.source) else newer.source,
    )


def agreed_table(older: TableRecord, newer: TableRecord) -> TableRecord | None:
    """The part that is alike; None if they differ in what holds for the class as a whole.

    A mapper that is not the same in both is left to the profile of the release.
    """
    if older == newer:
        return newer
    if not _is_alike(older, newer):
        return None
    blocks = _blocks(older.blocks, newer.blocks)
    return TableRecord(
        blocks=blocks,
        values={**older.values, **newer.values},
        unused=tuple(sorted(set(older.unused) & set(newer.unused))),
        unclear=tuple(sorted({*older.unclear, *newer.unclear, *_unclear(older, newer, blocks)})),
        dropped=_common_places(older.dropped, newer.dropped),
        kv_scales=newer.kv_scales if older.kv_scales == newer.kv_scales else None,
        stops_at_kv_scales=older.stops_at_kv_scales and newer.stops_at_kv_scales,
        packed=newer.packed,
        mappers=newer.mappers if older.mappers == newer.mappers else None,
        inner=newer.inner,
    )


def scales_differ(older: TableRecord, newer: TableRecord) -> bool:
    """Whether both were seen with scales of a KV cache, and did different things with them."""
    did = [(table.kv_scales, table.stops_at_kv_scales) for table in (older, newer)]
    return (None, False) not in did and did[0] != did[1]


def _is_alike(older: TableRecord, newer: TableRecord) -> bool:
    shared = older.values.keys() & newer.values.keys()
    return (
        older.packed == newer.packed
        and older.inner == newer.inner
        and all(older.values[key] == newer.values[key] for key in shared)
    )


def _blocks(
    older: Mapping[str, BlockRecord], newer: Mapping[str, BlockRecord]
) -> dict[str, BlockRecord]:
    tried = {
        name: _block(older[name], block)
        for name, block in newer.items()
        if name in older and (older[name].at, older[name].numbers) == (block.at, block.numbers)
    }
    kept = {name: block for name, block in tried.items() if block is not None}
    if _TOP in kept:
        gone = frozenset(newer) - kept.keys()
        kept[_TOP] = _encoded(kept[_TOP], _shapes(kept[_TOP]), without=gone)
    return kept


def _block(older: BlockRecord, newer: BlockRecord) -> BlockRecord | None:
    known = {record.name: record for record in older.names}
    names = tuple(
        replace(record, proved=_both(known[record.name].proved, record.proved))
        for record in newer.names
        if record.name in known and _outcome(known[record.name]) == _outcome(record)
    )
    kept = {record.name for record in names}
    if _packed_order(names) != _packed_order(r for r in older.names if r.name in kept):
        return None
    before, after = _shapes(older), _shapes(newer)
    first = before[_ALWAYS], after[_ALWAYS]
    shapes = {
        condition: before.get(condition, first[0]) & after.get(condition, first[1])
        for condition in sorted({*before, *after})
    }
    second = tuple(record for record in newer.also if record in older.also)
    instead = {
        condition: rows
        for condition, rows in newer.instead.items()
        if older.instead.get(condition) == rows
    }
    return _encoded(replace(newer, names=names, also=second, instead=instead), shapes)


def _packed_order(records: Iterable[NameRecord]) -> list[str]:
    """Names of linear layers, of which those with one place are packed in this order."""
    return [record.name for record in records if record.kind == "linear"]


def _outcome(record: NameRecord) -> tuple[str, str | None, str]:
    return record.place, record.asked, record.kind


def _both(older: str, newer: str) -> str:
    return "".join(seen for seen in newer if seen in older)


def _shapes(block: BlockRecord) -> dict[str, Sets]:
    """Condition -> the sets of names that the block may hold."""
    found = {
        condition: frozenset(names_in(block, shape) for shape in sets)
        for condition, sets in block.shapes.items()
    }
    return {_ALWAYS: frozenset(), **found}


def _encoded(
    block: BlockRecord, shapes: Mapping[str, Sets], *, without: Set[str] = frozenset()
) -> BlockRecord:
    """The block with these shapes, of which those with a name that it does not have are left out.

    Args:
        block: its names are kept.
        shapes: as from `_shapes`.
        without: names that are left out too.
    """
    names = tuple(record for record in block.names if record.name not in without)
    bits = {record.name: 1 << number for number, record in enumerate(names)}
    encoded = {
        condition: tuple(
            sorted(format(sum(map(bits.__getitem__, s)), "x") for s in sets if s <= bits.keys())
        )
        for condition, sets in shapes.items()
    }
    return replace(block, names=names, shapes=encoded)


def _unclear(
    older: TableRecord, newer: TableRecord, blocks: Mapping[str, BlockRecord]
) -> Iterator[str]:
    """Tensors with a second place, or without a config of some name, in one release only."""
    places = set(_other_places(older.dropped, newer.dropped))
    for name, block in blocks.items():
        start = f"{name}." if name else ""
        second = {*_elsewhere(older.blocks[name])} ^ {*_elsewhere(newer.blocks[name])}
        several = {record.name for record in second}
        at = block.at or name
        for record in block.names:
            is_in = record.kind and whole_name(record.place, at) in places
            if is_in or record.name in several:
                yield f"{start}{record.name}"


def _elsewhere(block: BlockRecord) -> Iterator[NameRecord]:
    yield from block.also
    for rows in block.instead.values():
        yield from rows


def _common_places(
    older: Mapping[str, tuple[str, ...]], newer: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    both = {
        algo: tuple(place for place in places if place in older.get(algo, ()))
        for algo, places in newer.items()
    }
    return {algo: places for algo, places in both.items() if places}


def _other_places(
    older: Mapping[str, tuple[str, ...]], newer: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    for algo in {*older, *newer}:
        yield from {*older.get(algo, ())} ^ {*newer.get(algo, ())}
