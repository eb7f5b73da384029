"""A learned table as the places of an entry: also for names that were not tried."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import Any, Final

from msgspec import Struct

from ckptfix.names import Mapped, NameMapper
from ckptfix.runtimes.learned.table import Row, Table, fill, mask, numbers_of

_BANK: Final = "experts"
_INSIDE_BANK: Final = ".routed_experts"
"""vLLM holds the weights of a bank one level below the name that it looks up."""
_NOTHING: Final = Table()
_USUAL: Final[Mapping[str, Sequence[str]]] = {
    "head": ("lm_head",),
    "embedding": ("embed_tokens", "embedding"),
}
"""Last parts of their names, for those that no tried config has: a tied head is not loaded."""
_QUANTIZABLE: Final = ("linear", "experts", "head")


class TableMapper(NameMapper, frozen=True, dict=True):
    """Checkpoint module name -> name before packing, by a table.

    A name without a row moves with what is next to it; otherwise it stays unchanged.
    """

    names: Mapping[str, str] = {}
    """Stored name -> name before packing, both masked."""
    parents: Mapping[str, str] = {}
    """The same of what contains them."""
    before: NameMapper = NameMapper()
    """Applied to a name first."""

    @property
    def is_identity(self) -> bool:
        """Never: the table maps names, without rules."""
        return False

    def _trace(self, name: str) -> Mapped:
        tried = self.before.map(name)
        if tried is None:
            return Mapped(None)
        masked = mask(tried)
        found = self.names.get(masked)
        if found is None:
            found = self._beside(masked)
        return Mapped(fill(found, numbers_of(tried)))

    def _beside(self, masked: str) -> str:
        above, below = masked, ""
        while above:
            if above in self.parents:
                return f"{self.parents[above]}{below}"
            above, dot, last = above.rpartition(".")
            below = f"{dot}{last}{below}"
        return masked


class TablePlaces(Struct, frozen=True, dict=True):
    """See `ckptfix.runtimes.places.Places`."""

    table: Table
    before: NameMapper = NameMapper()
    """Applied to names of a checkpoint first."""

    @cached_property
    def looked_up(self) -> NameMapper:
        """See `Places`; a place that is no stored name is looked up as what is there."""
        placed = ((place, self._looked_up[stored]) for stored, place in self._places.items())
        moved = {place: name for place, name in placed if name != place}
        return self._mapper(self._looked_up, moved)

    @cached_property
    def places(self) -> NameMapper:
        """See `Places`."""
        return self._mapper(self._places, {})

    def _mapper(self, names: Mapping[str, str], others: Mapping[str, str]) -> NameMapper:
        return TableMapper(names={**others, **names}, parents=_parents(names), before=self.before)

    @cached_property
    def _looked_up(self) -> Mapping[str, str]:
        return unpacked(self.table, looked_up=True)

    @cached_property
    def _places(self) -> Mapping[str, str]:
        return unpacked(self.table, looked_up=False)

    @property
    def loads_kv_scales(self) -> bool:
        """See `Places`."""
        return self.table.record.kv_scales is not False

    def is_head(self, name: str) -> bool:
        """See `Places`."""
        return self._is("head", name)

    def is_embedding(self, name: str) -> bool:
        """See `Places`."""
        return self._is("embedding", name)

    def _is(self, kind: str, name: str) -> bool:
        masked = mask(name)
        if masked in self._known:
            return masked in self._of_kind[kind]
        return name.rpartition(".")[2] in _USUAL[kind]

    @cached_property
    def _of_kind(self) -> Mapping[str, Set[str]]:
        found: dict[str, set[str]] = {"head": set(), "embedding": set()}
        for stored, row in self.table.rows.items():
            if row.kind in found:
                found[row.kind] |= {self._looked_up[stored], self._places[stored]}
        return found

    def is_never_quantized(self, name: str, config: Mapping[str, Any]) -> bool:
        """See `Places`; what the class does for this config only is not in the table."""
        del config
        return mask(name) in self._unquantized

    @cached_property
    def _unquantized(self) -> Set[str]:
        rows = self.table.rows.values()
        never = [r for r in rows if r.looked_up is None or r.kind not in _QUANTIZABLE]
        names = {_place(row) for row in never} | {self._looked_up[row.stored] for row in never}
        return names - {row.looked_up for row in rows if row.looked_up is not None}

    def packed(self, name: str, names: Set[str]) -> tuple[str, int]:
        """See `Places`; a name without a row is packed as others that end alike."""
        found = self._packed.get(mask(name))
        if found is None and mask(name) not in self._known:
            found = self._packed_last.get(name.rpartition(".")[2])
        if found is None:
            return name, 0
        parent, dot, _ = name.rpartition(".")
        packed, order, first = found
        return (f"{parent}{dot}{packed}", order) if f"{parent}{dot}{first}" in names else (name, 0)

    @cached_property
    def _known(self) -> Set[str]:
        return frozenset((*self._looked_up.values(), *self._places.values()))

    @cached_property
    def _packed(self) -> Mapping[str, tuple[str, int, str]]:
        """Name before packing, masked -> last parts of the packed module and the first, order."""
        found: dict[str, tuple[str, int, str]] = {}
        for packed, members in self._members.items():
            first, last = (name.rpartition(".")[2] for name in (members[0], packed))
            for order, member in enumerate(members):
                found[member] = last, order, first
        return found

    @cached_property
    def _packed_last(self) -> Mapping[str, tuple[str, int, str]]:
        """The same by the last part of a name, where all with that end are packed alike."""
        found: dict[str, set[tuple[str, int, str]]] = {}
        for member, packed in self._packed.items():
            found.setdefault(member.rpartition(".")[2], set()).add(packed)
        return {last: next(iter(packed)) for last, packed in found.items() if len(packed) == 1}

    @cached_property
    def _members(self) -> Mapping[str, list[str]]:
        """Packed module -> its members before packing, in order, all masked."""
        grouped: dict[str, dict[str, None]] = {}
        for row in self.table.rows.values():
            if row.kind == "linear":
                packed = row.looked_up or _place(row)
                grouped.setdefault(packed, {})[self._looked_up[row.stored]] = None
        return {packed: list(members) for packed, members in grouped.items() if len(members) > 1}

    def members(self, packed: str) -> tuple[str, ...]:
        """See `Places`."""
        listed = self.table.record.packed.get(packed, ())
        found = (m for name, m in self._members.items() if name.rpartition(".")[2] == packed)
        return listed or tuple(name.rpartition(".")[2] for name in next(found, ()))


def unpacked(table: Table, *, looked_up: bool) -> Mapping[str, str]:
    """Stored name -> name before packing, with the member's own last part; both masked.

    Args:
        table: what was learned.
        looked_up: looked-up names, if there are any, instead of places.
    """
    members = Counter(row.place for row in table.rows.values())
    return {
        row.stored: _unpacked(
            row, _name(row, looked_up=looked_up), is_packed=members[row.place] > 1
        )
        for row in table.rows.values()
    }


def _name(row: Row, *, looked_up: bool) -> str:
    """Of embeddings and convolutions the place: nothing depends on what they are looked up as."""
    is_asked = looked_up and row.kind in _QUANTIZABLE
    return row.looked_up if is_asked and row.looked_up is not None else _place(row)


def _place(row: Row) -> str:
    return row.place.removesuffix(_INSIDE_BANK) if row.kind == _BANK else row.place


def _unpacked(row: Row, name: str, *, is_packed: bool) -> str:
    if not name:
        return name
    if row.kind == _BANK:
        head, bank, tail = row.stored.rpartition(f"{_BANK}.")
        return f"{name}.{tail if bank and head else row.stored.rpartition('.')[2]}"
    if not is_packed:
        return name
    parent, dot, _ = name.rpartition(".")
    return f"{parent}{dot}{row.stored.rpartition('.')[2]}"


def _parents(names: Mapping[str, str]) -> Mapping[str, str]:
    """What contains stored names -> what contains their names; only where all of it moves alike."""
    found: dict[str, set[str]] = {}
    for stored, name in names.items():
        for above, moved in _above(stored, name):
            found.setdefault(above, set()).add(moved)
    return {above: next(iter(moved)) for above, moved in found.items() if len(moved) == 1}


def _above(stored: str, name: str) -> Iterator[tuple[str, str]]:
    """Every part that contains both, as long as they end alike."""
    while True:
        stored, _, last = stored.rpartition(".")
        name, _, moved = name.rpartition(".")
        if not stored or last != moved:
            return
        yield stored, name
