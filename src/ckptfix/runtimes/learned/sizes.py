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
from msgspec.structs import replace

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.config_classes import ConfigClass, always_reads_as, flattened
from ckptfix.runtimes.learned.release_file import release_file
from ckptfix.runtimes.size_expressions import size_in

FOLDER: Final = "sizes"
_MODEL_TYPE: Final = "model_type"
_MAY_SIZE: Final = re.compile(
    r"(?:dims?|dimension|_size|_rank|heads?|groups|width|channels|inner|ffn|expand|experts?"
    r"|ratio|mult|multiplier|expansion|_configs)\Z"
)
"""Keys of config.json that may decide sizes, `block_configs` of Nemotron Puzzle among them."""
_KEY: Final = re.compile(r"[a-z]")
_OF_POSITIONS: Final = re.compile(r"(?:\A|\.)rope_(?:scaling|parameters)\.")
"""Of tables that are computed and not stored."""
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
    read: tuple[str, ...] | None = None
    """Names of further keys that may decide sizes and that were read, though not there; None if
    that was not watched."""
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
        others = tuple(found.other_parts(known))
        found = replace(found, others=others)
        if "" in others or not found.has(_without(self.record.given, others)):
            return None
        tried = frozenset(self.record.keys)
        named = (path for path in sized(own) if path in found.flat)  # others are aliases
        unknown = (p for p in named if not p.startswith(others) and p not in tried)
        return None if any(map(self._reads, unknown)) else found

    def _reads(self, path: str) -> bool:
        """Whether the class reads a key that was not there when it was learned."""
        read = self.record.read
        return read is None or path.rpartition(".")[2] in read


class SizesFor(Struct, frozen=True, eq=False, dict=True):
    """The sizes for one config."""

    sizes: Sizes
    flat: Mapping[str, Any]
    """Path -> value."""
    others: tuple[str, ...] = ()
    """Starts of the paths of parts that another class reads than was tried."""

    def other_parts(self, known: ConfigClass | None) -> Iterator[str]:
        """These; empty for the whole.

        Args:
            known: the class that reads config.json, if that is recorded.
        """
        for path, type_ in self.sizes.record.model_types.items():
            part = path.split(".")[:-1]
            if not self._has(path, type_) and not always_reads_as(known, part, type_):
                yield "".join(f"{key}." for key in part)

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
        if row is None or (self.others and not self._is_apart(row)):
            return None
        return row if self.has(row.given) else None

    def _is_apart(self, row: SizeRow) -> bool:
        """Whether sizes follow from config.json, and from nothing in parts of other classes."""
        said = " ".join((*row.sizes, *row.given))
        return _KEY.search(said) is not None and not any(part in said for part in self.others)

    def shape(self, sizes: tuple[str, ...]) -> tuple[int | None, ...]:
        """The shape that the class expects; None for a dimension that is not known."""
        return tuple(size_in(size, self._config) for size in sizes)

    @cached_property
    def _config(self) -> ModelConfig:
        return ModelConfig(values=self.flat)


def _without(given: Mapping[str, Any], parts: tuple[str, ...]) -> Mapping[str, Any]:
    return {path: value for path, value in given.items() if not path.startswith(parts)}


def sized(flat: Mapping[str, Any]) -> Iterator[str]:
    """Paths of the keys that are set and may decide sizes.

    Args:
        flat: path -> value.
    """
    return (
        path
        for path, value in flat.items()
        if value is not None and _MAY_SIZE.search(path) and not _OF_POSITIONS.search(path)
    )


@cache
def sizes(runtime: str, version: str, architecture: str) -> Sizes | None:
    """What the class of an architecture expects; None if that was not learned of this release."""
    known = release_file(runtime, FOLDER, version)
    recorded = known.architectures.get(architecture) if known else None
    return Sizes(msgspec.json.decode(recorded, type=SizesRecord)) if recorded else None
