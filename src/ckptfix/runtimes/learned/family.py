"""A learned table as a family: its description and its name mapper."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

from ckptfix.names import Mapped, NameMapper
from ckptfix.runtimes.family_spec import FamilySpec
from ckptfix.runtimes.learned.store import Learned
from ckptfix.runtimes.learned.table import Row, Table, fill, mask, numbers_of

_BANK: Final = "experts"
_NOTHING: Final = Table()


class LearnedMapper(NameMapper, frozen=True, dict=True):
    """Checkpoint module name -> looked-up name or place, before packing, by the table.

    A name that is not in the table stays unchanged.
    """

    table: Table = _NOTHING
    looked_up: bool = True
    """Map to looked-up names, not places."""

    @property
    def is_identity(self) -> bool:
        """Never: the table maps names, without rules."""
        return False

    def _trace(self, name: str) -> Mapped:
        row = self.table.rows.get(mask(name))
        return Mapped(name if row is None else fill(self._unpacked[row.stored], numbers_of(name)))

    @cached_property
    def _unpacked(self) -> Mapping[str, str]:
        """Stored name -> name before packing, both masked."""
        return unpacked(self.table, looked_up=self.looked_up)


def unpacked(table: Table, *, looked_up: bool) -> Mapping[str, str]:
    """Stored name -> name before packing, with the member's own last part; both masked.

    Args:
        table: what was learned.
        looked_up: looked-up names, if there are any, instead of places.
    """
    members = Counter(row.place for row in table.rows.values())
    return {
        row.stored: _unpacked(
            row, (looked_up and row.looked_up) or row.place, is_packed=members[row.place] > 1
        )
        for row in table.rows.values()
    }


def _unpacked(row: Row, name: str, *, is_packed: bool) -> str:
    if row.kind == "experts":
        head, bank, tail = row.stored.rpartition(f"{_BANK}.")
        return f"{name}.{tail}" if bank and head else name
    if not is_packed:
        return name
    parent, dot, _ = name.rpartition(".")
    return f"{parent}{dot}{row.stored.rpartition('.')[2]}"


def spec_of(learned: Learned, *, drops_strays: bool) -> FamilySpec:
    """The equivalent family entry, as far as an entry can express it.

    Args:
        learned: where it was learned.
        drops_strays: the runtime skips tensors that it has no parameter for.
    """
    table = learned.names
    places, asked = (unpacked(table, looked_up=asked) for asked in (False, True))
    rows = table.rows.values()
    heads = [row.stored for row in rows if row.kind == "head"]
    left_out = {name.removesuffix(".weight") for name in table.record.unused}
    return FamilySpec(
        runtime=learned.runtime,
        architectures=(learned.architecture,),
        source=learned.source,
        inner=table.record.inner,
        heads=_patterns(names[stored] for stored in heads for names in (places, asked)),
        embeddings=_patterns(places[row.stored] for row in rows if row.kind == "embedding"),
        kv_scales=table.record.kv_scales is not False,
        leaves_out_tied_head=drops_strays and not left_out.isdisjoint(heads),
    )


def _patterns(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.replace("#", "*") for name in names))
