"""quantized_layers and lists of excluded modules, as a release reads them from an object."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    MetadataFile,
    Statement,
    config_root,
)
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.runtimes.common.foreign import NotModelledError
from ckptfix.runtimes.common.objects import JsonObject, StopsError, kind_of
from ckptfix.text import visible

HF_QUANT_FILE: Final = "hf_quant_config.json"
NESTED: Final = "quantization"
"""Key of the object that hf_quant_config.json, and some config.json, wrap the fields in."""
ENTRIES: Final = "quantized_layers"
NVFP4_ALGOS: Final = frozenset({"NVFP4", "W4A16_NVFP4"})
BLOCK_ALGOS: Final = frozenset({"FP8_PB_WO", "FP8_BLOCK_SCALES"})
_BLOCK_SIZE: Final = 128


class Files(Struct, frozen=True, dict=True):
    """The metadata files of a checkpoint, for a runtime to read."""

    documents: Mapping[str, JsonText]
    statements: tuple[Statement, ...]
    """Of all files; the omitted part of a file resembles what was kept."""

    @classmethod
    def of(cls, documents: Mapping[str, JsonText], parsed: tuple[MetadataFile, ...]) -> "Files":
        """The files with the statements that were read from them."""
        return cls(documents, tuple(s for metadata in parsed for s in metadata.statements))

    def known(self, found: JsonObject) -> JsonObject:
        """An object of config.json, whose statements are those that were read from the file.

        Raises:
            NotModelledError: the statements are of an object in another place, which a release of
                another kind reads first.
        """
        root = config_root(self.documents[CONFIG_FILE].value)
        if root not in (None, found.path):
            other = JsonObject(CONFIG_FILE, root, {}).place()
            why = f"it reads {found.place()}, and ckptfix {other}"
            raise NotModelledError(why, found, "")
        return found

    def entries(self, of: JsonObject) -> tuple[Statement, ...]:
        """The entries of quantized_layers, in the order of the file."""
        return self._below(of, ENTRIES)

    def excludes(self, of: JsonObject, key: str | None) -> tuple[Statement, ...]:
        """The patterns of a list; for a string its letters, because Python iterates over those.

        Raises:
            StopsError: an item is not a string.
        """
        value = of.get(key) if key is not None else None
        if key is None or value is None:
            return ()
        if isinstance(value, str | dict):
            path = (*of.path, key)
            return tuple(Statement("exclude", each, of.file, path) for each in value)
        for item in value if isinstance(value, list) else ():
            if not isinstance(item, str):
                raise of.stop(f" holds {kind_of(item)}, not a string", key)
        return self._below(of, key)

    def _below(self, of: JsonObject, key: str) -> tuple[Statement, ...]:
        at = of.file, (*of.path, key)
        if at not in self._by_list:
            file, path = at
            depth = len(path)
            below = (s for s in self.statements if s.path[:depth] == path and s.file == file)
            self._by_list[at] = tuple(below)
        return self._by_list[at]

    @cached_property
    def _by_list(self) -> dict[tuple[str, Path], tuple[Statement, ...]]:
        """(file, path of a list) -> its statements; most releases read the same lists."""
        return {}


def mixed_entries(files: Files, of: JsonObject, *, one_block_size: bool) -> tuple[Statement, ...]:
    """The entries of a MIXED_PRECISION object, which both runtimes check before any layer.

    Args:
        files: all metadata files.
        of: the object.
        one_block_size: whether the release refuses two block sizes.

    Raises:
        StopsError: there are none, or one is malformed.
    """
    layers = of.get(ENTRIES)
    if not layers:
        cause = "MIXED_PRECISION without quantized_layers"
        raise StopsError(cause, of.at(ENTRIES if ENTRIES in of else "quant_algo"))
    if not isinstance(layers, dict):
        raise of.stop(f" is {kind_of(layers)}, not an object", ENTRIES)
    entries = files.entries(of)
    _require_algos(of, entries)
    if one_block_size:
        _require_one_block_size(of, entries)
    return entries


def _require_algos(of: JsonObject, entries: tuple[Statement, ...]) -> None:
    """What both runtimes do with every entry before a layer is built: `.get("quant_algo", "")`.

    A missing quant_algo stops them only if a layer looks up the entry.

    Raises:
        StopsError: an entry is not an object, or its quant_algo not a string.
    """
    layers = of.get(ENTRIES)
    for name, entry in _odd(layers, entries):
        where = f"{of.place(ENTRIES)}, {visible(name)}"
        if not isinstance(entry, dict):
            cause = f"{where}: the entry is {kind_of(entry)}, not an object"
            raise StopsError(cause, of.at(ENTRIES, name))
        if "quant_algo" in entry:
            cause = f"{where}: quant_algo is {kind_of(entry['quant_algo'])}, not a string"
            raise StopsError(cause, of.at(ENTRIES, name, "quant_algo"))


def _odd(layers: object, entries: tuple[Statement, ...]) -> Iterator[tuple[str, object]]:
    if isinstance(layers, dict):
        yield from ((e.name, layers[e.name]) for e in entries if e.quant_algo is None)


def first_group_size(of: JsonObject, entries: tuple[Statement, ...]) -> object:
    """The group_size of the first NVFP4 entry: it is used for all of them; None without one."""
    layers = of.get(ENTRIES)
    for entry in entries:
        if (entry.quant_algo or "").upper() in NVFP4_ALGOS and isinstance(layers, dict):
            return layers[entry.name].get("group_size", 16)
    return None


def _require_one_block_size(of: JsonObject, entries: tuple[Statement, ...]) -> None:
    """All entries of block FP8 must have one block size.

    Raises:
        StopsError: they have several.
    """
    sizes = {
        _BLOCK_SIZE if entry.group_size is None else entry.group_size
        for entry in entries
        if (entry.quant_algo or "").upper() in BLOCK_ALGOS
    }
    if len(sizes) > 1:
        found = " and ".join(map(str, sorted(sizes)))
        cause = f"block FP8 entries of quantized_layers have block sizes {found}"
        raise StopsError(cause, of.at(ENTRIES))
