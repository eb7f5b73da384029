"""One learned table, ready for lookups by names of a checkpoint."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.runtimes.learned.records import BlockRecord, NameRecord, TableRecord

_NUMBER: Final = re.compile(r"(?<![^.])\d+(?![^.])")
_FIRST_NUMBER: Final = re.compile(r"(?:.*?\.)??\d+(?=\.)")
_WEIGHT: Final = ".weight"
_EMPTY: Final = TableRecord({})


def mask(name: str) -> str:
    """A name with every number between dots as `#`.

    >>> mask("model.layers.12.mlp.experts.3.down_proj")
    'model.layers.#.mlp.experts.#.down_proj'
    """
    return _NUMBER.sub("#", name)


def numbers_of(name: str) -> list[str]:
    """The numbers that `mask` hides, in order."""
    return _NUMBER.findall(name)


def fill(masked: str, numbers: Sequence[str]) -> str:
    """The masked name with the first of the given numbers.

    >>> fill("model.layers.#.mlp.experts", ["12", "3"])
    'model.layers.12.mlp.experts'
    """
    left = iter(numbers)
    return re.sub("#", lambda _: next(left, "#"), masked)


def split(tensor: str) -> tuple[str, str]:
    """The block of a tensor, up to its first number, and the name below it.

    >>> split("model.layers.3.mlp.experts.7.down_proj.weight")
    ('model.layers.3', 'mlp.experts.7.down_proj.weight')
    """
    found = _FIRST_NUMBER.match(tensor)
    return (found[0], tensor[found.end() + 1 :]) if found else ("", tensor)


class Row(Struct, frozen=True):
    """Where the tensors of a name end."""

    stored: str
    """Checkpoint module, every number as `#`."""
    place: str
    looked_up: str | None
    """None: the module is never looked up in the quantization config; empty: without a name."""
    kind: str
    proved: str
    order: int
    """Among the tensors of the table."""


class Table(Struct, frozen=True, dict=True):
    """The behaviour of a class, by names of a checkpoint."""

    record: TableRecord = _EMPTY

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        """Checkpoint module, masked -> where its weight ends first."""
        return {row.stored: row for row in self._rows(also=False)}

    @cached_property
    def every_row(self) -> tuple[Row, ...]:
        """All rows, second places too."""
        return (*self._rows(also=False), *self._rows(also=True))

    def _rows(self, *, also: bool) -> Iterator[Row]:
        order = 0
        for name, block in self.record.blocks.items():
            start = f"{name}." if name else ""
            place = block.at or name
            for record in block.also if also else block.names:
                order += 1
                if record.kind:
                    stored = f"{start}{record.name}".removesuffix(_WEIGHT)
                    yield _row(stored, place, record, order)

    def under(self, config: Mapping[str, Any]) -> "Table":
        """The same for one config.json: what ends elsewhere for its values does so.

        Where a value is none of those that were tried, both places are kept.
        """
        if not any(block.instead for block in self.record.blocks.values()):
            return self
        blocks = {name: self._under(block, config) for name, block in self.record.blocks.items()}
        return Table(replace(self.record, blocks=blocks))

    def _under(self, block: BlockRecord, config: Mapping[str, Any]) -> BlockRecord:
        chosen: dict[str, NameRecord] = {}
        also = list(block.also)
        for condition, rows in block.instead.items():
            if self._holds(condition, config):
                chosen.update({row.name: row for row in rows})
            elif not self._is_known(condition.partition("=")[0], config, block.instead):
                also += rows
        names = tuple(chosen.get(row.name, row) for row in block.names)
        return replace(block, names=names, also=tuple(also), instead={})

    @cached_property
    def embeddings(self) -> Mapping[str, str | None]:
        """Place of an embedding, masked -> the name looked up, also masked; None if it never is."""
        rows = (row for row in self.rows.values() if row.kind == "embedding")
        return {row.place: row.looked_up for row in rows}

    @cached_property
    def tensors(self) -> frozenset[str]:
        """Every tensor name that ends somewhere, masked."""
        return frozenset(
            f"{name}.{record.name}" if name else record.name
            for name, block in self.record.blocks.items()
            for record in block.names
        )

    @cached_property
    def by_default(self) -> frozenset[str]:
        """Those of the config that the class was learned with, no value changed."""
        return frozenset(
            f"{name}.{below}" if name else below
            for name, block in self.record.blocks.items()
            for shape in block.shapes.get("", ())
            for below in names_in(block, shape)
        )

    @cached_property
    def unclear(self) -> frozenset[str]:
        """Checkpoint modules, masked, whose looked-up name is not certain."""
        several = {row.stored for row in self._rows(also=True)}
        numbers = {name.removesuffix(_WEIGHT) for name in self.record.unclear}
        return frozenset(self._differing(several) | numbers)

    def _differing(self, stored: set[str]) -> set[str]:
        names: dict[str, set[tuple[str | None, str]]] = {}
        for row in self.every_row:
            if row.stored in stored:
                names.setdefault(row.stored, set()).add((row.looked_up, row.kind))
        return {name for name, found in names.items() if len(found) > 1}

    def shapes(self, block: str, config: Mapping[str, Any]) -> tuple[frozenset[str], ...] | None:
        """The sets of names that a block may contain; None if not known for the config.

        Args:
            block: masked.
            config: config.json.
        """
        record = self.record.blocks[block]
        changed = [c for c in record.shapes if c and self._holds(c, config)]
        keys = {condition.partition("=")[0] for condition in record.shapes if condition}
        others = [k for k in keys if not self._is_known(k, config, record.shapes)]
        if others or len(changed) > 1:
            return None
        sets = record.shapes.get(changed[0] if changed else "", ())
        return tuple(names_in(record, bits) for bits in sets) or None

    def _is_known(self, key: str, config: Mapping[str, Any], conditions: Collection[str]) -> bool:
        """True where the config has one of the values that were tried.

        A rank that was tried with a number and with null names the same tensors with any number,
        and so does a number of parts that was tried with zero.
        """
        value, tried = self._value(key, config), self.record.values.get(key)
        if value == tried or f"{key}={json.dumps(value)}" in conditions:
            return True
        others = {condition for condition in conditions if condition.startswith(f"{key}=")}
        is_any = others in ({f"{key}=null"}, {f"{key}=0"})
        return is_any and _is_number(value) and _is_number(tried)

    def _holds(self, condition: str, config: Mapping[str, Any]) -> bool:
        key, _, value = condition.partition("=")
        return bool(json.dumps(self._value(key, config)) == value)

    def _value(self, key: str, config: Mapping[str, Any]) -> object:
        """From config.json, otherwise the default with which the class was learned."""
        *within, last = key.split(".")
        values = find_at(config, within)
        default = self.record.values.get(key)
        return values.get(last, default) if isinstance(values, Mapping) else default


def names_in(record: BlockRecord, shape: str) -> frozenset[str]:
    """The names of a set in `BlockRecord.shapes`."""
    bits = int(shape, 16)
    return frozenset(known.name for index, known in enumerate(record.names) if bits >> index & 1)


def _is_number(value: object) -> bool:
    return type(value) is int and value > 0


def _row(stored: str, block: str, record: NameRecord, order: int) -> Row:
    place = whole_name(record.place, block)
    name = record.asked
    if name is not None:
        name = place if name == "=" else whole_name(name, block)
    return Row(stored, place, name, record.kind, record.proved, order)


def whole_name(name: str, block: str) -> str:
    """A name of a record, with the place of its block for `~`."""
    return block + name[1:] if name.startswith("~") else name
