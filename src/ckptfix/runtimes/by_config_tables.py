"""The tables of `<runtime>/by_config.toml`, see `by_config.py`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.runtimes.common.kinds import ABSENT, kind_of
from ckptfix.runtimes.learned.sizes import SizeRow

Value = bool | int | str


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of which classes and configs a table says something."""

    source: str
    """Source: project, version, file."""
    architectures: tuple[str, ...]
    """`*` for all."""
    versions: str
    """Releases that it holds for, a PEP 440 specifier."""
    given: dict[str, Value] = {}
    """Path of a key, joined by dots -> the value that it has, all of them; none is a default."""
    unless: dict[str, Value | tuple[Value, ...]] = {}
    """The same of values that it has none of, of some keys several."""
    any_case: bool = False
    """The class takes these in capitals, too."""
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    """Paths of keys that are set, and of keys that are missing or null."""
    filled: tuple[str, ...] = ()
    """Of lists that have items."""
    missing: tuple[str, ...] = ()
    null: tuple[str, ...] = ()
    """The two kinds of absent keys, where the class tells them apart."""

    def holds(self, flat: Mapping[str, Any]) -> bool:
        """Whether it says something of a config.

        Args:
            flat: path -> value.
        """
        return (
            all(_is(flat, path, value) for path, value in self.given.items())
            and not any(self._is_one(flat, path, values) for path, values in self.unless.items())
            and all(flat.get(path) is not None for path in self.present)
            and all(flat.get(path) is None for path in self.absent)
            and all(flat.get(path) for path in self.filled)
            and all(path not in flat for path in self.missing)
            and all(path in flat and flat[path] is None for path in self.null)
        )

    def _is_one(
        self, flat: Mapping[str, Any], path: str, values: Value | tuple[Value, ...]
    ) -> bool:
        found = flat.get(path)
        if self.any_case and isinstance(found, str):
            flat = {path: found.lower()}
        return _is(flat, path, *_each(values))

    def met(self, flat: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Paths with what it says of their values in a config for which it holds."""
        other_values = (path for path in self.unless if path in self.present)
        yield from ((path, f"is {json.dumps(flat[path])}") for path in (*self.given, *other_values))
        yield from ((path, "is not set") for path in (*self.absent, *self.missing))
        yield from ((path, "is null") for path in self.null)


class StopsSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[stops]]` table: values with which the class cannot be built."""

    each: bool = False
    """Each key in absent, missing, null, below and kinds alone stops the class."""
    shorter: tuple[str, str] | None = None
    """Path of a list that has fewer items than the number at the second path says."""

    below: dict[str, int] = {}
    """Path of a number -> what it is below, all of them."""
    kinds: dict[str, tuple[str, ...]] = {}
    """Path of a key -> the kinds of values that it has one of (`common/kinds.py`), all of them."""

    def stops(self, flat: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Whether a config has these values.

        Args:
            flat: path -> value.
            values: the config itself.
        """
        return (
            self.holds(flat)
            and all(_is_below(flat.get(path), limit) for path, limit in self.below.items())
            and all(kind_at(values, path) in kinds for path, kinds in self.kinds.items())
            and (self.shorter is None or self._is_shorter(flat))
        )

    def apart(self) -> "Iterator[StopsSpec]":
        """One table per key where each key alone stops the class, else the table itself."""
        if not self.each:
            yield self
            return
        bare = replace(self, each=False, absent=(), missing=(), null=(), below={}, kinds={})
        yield from (replace(bare, absent=(path,)) for path in self.absent)
        yield from (replace(bare, missing=(path,)) for path in self.missing)
        yield from (replace(bare, null=(path,)) for path in self.null)
        yield from (replace(bare, below={path: limit}) for path, limit in self.below.items())
        yield from (replace(bare, kinds={path: kinds}) for path, kinds in self.kinds.items())

    def _is_shorter(self, flat: Mapping[str, Any]) -> bool:
        items, number = (flat.get(path) for path in self.shorter or ())
        return isinstance(items, list) and type(number) is int and len(items) < number


class MetadataSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[metadata]]` table: metadata at which the class stops, whatever it says."""

    why: str
    """The end of a sentence about a release."""
    takes: tuple[str, ...] = ()
    """Values of `quant_method` at which it does not."""


class SizesSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[sizes]]` table: tensors of the same sizes, as in `SizeRow`."""

    names: tuple[str, ...]
    """Of the tensors, `#` for a number where all have these sizes."""
    sizes: tuple[str, ...]
    larger: str
    smaller: str

    @property
    def row(self) -> SizeRow:
        """The same as it is learned of other tensors."""
        return SizeRow(self.sizes, self.names, self.larger, self.smaller)


class ModulesSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[modules]]` table: modules or parameters of layers, `#` for the number of the layer."""

    needs: tuple[str, ...] = ()
    """Those that every layer has."""
    lacks: tuple[str, ...] = ()
    """Those that none has."""
    layers: str = ""
    """Path of a list with the kind of every layer, and after `=` the kind of those that count."""
    not_last: str = ""
    """Path of a number: so many layers at the end do not count."""
    before: str = ""
    from_: str = msgspec.field(default="", name="from")
    """Paths of numbers: only layers before it count, or from it on."""


class SharedSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[shared]]` table: the last layers use what an earlier one of their kind has.

    The class stops at one of a kind that no earlier layer is of.
    """

    number: str
    """Path of the number of these layers."""
    kinds: str
    """Path of the list with the kind of every layer."""


class ListsSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[lists]]` table: lists of blocks that are as long as a number of config.json."""

    count: str
    """Path of that number."""
    names: tuple[str, ...]
    unread: int = 0
    """So many blocks at the end are not built. Then the loader passes over all that are not."""


class CountsSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[counts]]` table: which number says how many layers the language model has."""

    key: str
    """Path of that number."""
    for_each: int = 1
    """What it counts for each layer."""


class JoinedSpec(When, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[joined]]` table: modules whose tensors the loader joins, all of them by rows.

    It stops at those without dimensions.
    """

    parts: tuple[str, ...]
    """Last parts of their names."""


class ByConfigFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of the classes of a runtime."""

    stops: tuple[StopsSpec, ...] = ()
    metadata: tuple[MetadataSpec, ...] = ()
    sizes: tuple[SizesSpec, ...] = ()
    modules: tuple[ModulesSpec, ...] = ()
    shared: tuple[SharedSpec, ...] = ()
    lists: tuple[ListsSpec, ...] = ()
    counts: tuple[CountsSpec, ...] = ()
    joined: tuple[JoinedSpec, ...] = ()


def kind_at(values: Mapping[str, Any], path: str) -> str:
    """The kind of the value at a path of a config."""
    *within, key = path.split(".")
    holder = find_at(values, within)
    return kind_of(holder.get(key, ABSENT) if isinstance(holder, dict) else ABSENT)


def _is_below(value: object, limit: int) -> bool:
    return isinstance(value, int | float) and value < limit


def _each(values: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return values if isinstance(values, tuple) else (values,)


def _is(flat: Mapping[str, Any], path: str, *values: Value) -> bool:
    found = flat.get(path)
    return any(_type_of(found) is _type_of(value) and found == value for value in values)


def _type_of(value: object) -> type:
    """0 and 0.0 are the same."""
    return float if type(value) is int else type(value)
