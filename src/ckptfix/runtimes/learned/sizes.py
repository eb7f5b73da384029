"""Sizes of tensors that a class expects, as expressions of config.json, learned from the class.

The files `<runtime>/sizes/<version>.json` are written by `tools/learn_sizes.py`: it changes a
config, one value at a time, builds the class and loads the tensors of such a model. It also loads
tensors of other sizes, to see which of them stop the loader.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any, Final

import msgspec
from msgspec import Struct

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.config_classes import ConfigClass, flattened
from ckptfix.runtimes.learned.release_file import release_file
from ckptfix.runtimes.size_expressions import size_in

FOLDER: Final = "sizes"
_MODEL_TYPE: Final = "model_type"
_MAY_SIZE: Final = re.compile(
    r"(?:dims?|dimension|_size|_rank|heads?|groups|width|channels|inner|ffn|expand|experts?"
    r"|ratio|mult|multiplier|expansion|_configs)\Z"
)
"""Keys of config.json that may decide sizes, `block_configs` of Nemotron Puzzle among them."""
STOPS, CUT, PADDED = "s", "w", "-"
"""Letters of `SizeRow`."""


class SizeRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Tensors of the same sizes."""

    sizes: tuple[str, ...]
    """Of each dimension: as in `LayoutSpec.sizes`, keys with the path that they have in
    config.json; `?` if it is not known."""
    names: tuple[str, ...]
    """Of the tensors, every number as `#`."""
    larger: str
    """For each dimension what becomes of a tensor that is larger: `s`: the loader stops; `w`: part
    of it is left out; `-`: nothing is lost."""
    smaller: str
    """The same for one that is smaller; `w`: part of the parameter is not written; `-`: the rest of
    it is zeros."""
    given: dict[str, Any] = {}
    """Path -> the value that it had; with another value the sizes differ."""
    others: tuple[tuple[str, ...], ...] = ()
    """Sizes in layers of other kinds."""


class SizesRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One class, as the file has it."""

    config: str
    """The repository or the config class whose values were changed."""
    model_types: dict[str, str]
    """Path of every `model_type` -> its value: other config classes have other defaults."""
    rows: tuple[SizeRow, ...]
    keys: tuple[str, ...] = ()
    """Paths of all keys that may decide sizes and were there or were put there."""
    given: dict[str, Any] = {}
    """Path -> the value that it had; nothing is known for other values."""
    of_library: bool = False
    """The config is the default of its class, so these values also hold where a key is missing."""


class Sizes(Struct, frozen=True, eq=False, dict=True):
    """What a class expects; there is one object per release and architecture."""

    record: SizesRecord

    @cached_property
    def row_of(self) -> Mapping[str, SizeRow]:
        """Name of a tensor, masked -> its row."""
        return {name: row for row in self.record.rows for name in row.names}

    def for_config(self, values: Mapping[str, Any], known: ConfigClass | None) -> "SizesFor | None":
        """The sizes for a config; None if what was tried does not cover it.

        Args:
            values: config.json.
            known: the class that reads it, if that is recorded.
        """
        own = dict(flattened(values))
        found = SizesFor(self, known.flat(values) if known else own)
        record = self.record
        if not found.has(record.model_types) or not found.has(record.given):
            return None
        tried = frozenset(record.keys)
        named = (path for path in sized(own) if path in found.flat)  # others are aliases
        return found if tried.issuperset(named) else None


class SizesFor(Struct, frozen=True, eq=False, dict=True):
    """The sizes for one config."""

    sizes: Sizes
    flat: Mapping[str, Any]
    """Path -> value."""

    def has(self, given: Mapping[str, Any]) -> bool:
        """Whether the config has these values, or does not set what is so by default."""
        return all(self._has(path, value) for path, value in given.items())

    def _has(self, path: str, value: object) -> bool:
        if path in self.flat:
            found = self.flat[path]
            return bool(found == value) or (value is None and found is False)  # see `switches`
        is_default = self.sizes.record.of_library and path != _MODEL_TYPE
        return value is None or is_default

    def row_of(self, masked: str) -> SizeRow | None:
        """The row of a tensor name; None if its sizes are not known."""
        row = self.sizes.row_of.get(masked)
        return row if row is not None and self.has(row.given) else None

    def shape(self, sizes: tuple[str, ...]) -> tuple[int | None, ...]:
        """The shape that the class expects; None for a dimension that is not known."""
        return tuple(size_in(size, self._config) for size in sizes)

    @cached_property
    def _config(self) -> ModelConfig:
        return ModelConfig(values=self.flat)


def sized(flat: Mapping[str, Any]) -> Iterator[str]:
    """Paths of the keys that are set and may decide sizes.

    Args:
        flat: path -> value.
    """
    return (path for path, value in flat.items() if value is not None and _MAY_SIZE.search(path))


@cache
def sizes(runtime: str, version: str, architecture: str) -> Sizes | None:
    """What the class of an architecture expects; None if that was not learned of this release."""
    known = release_file(runtime, FOLDER, version)
    recorded = known.architectures.get(architecture) if known else None
    return Sizes(msgspec.json.decode(recorded, type=SizesRecord)) if recorded else None
