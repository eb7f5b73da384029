"""The shard index: which file holds which tensor."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ckptfix.checkpoint.document import parse_document
from ckptfix.checkpoint.source import Source
from ckptfix.errors import CkptfixError, MissingShardsError
from ckptfix.jsontext.decode import number_of_keys
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.place import Place
from ckptfix.text import visible

INDEX_FILE: Final = "model.safetensors.index.json"
SINGLE_FILE: Final = "model.safetensors"


class ShardNames(Struct, frozen=True):
    """How the files of a checkpoint with its weights are called."""

    index_file: str
    single_file: str = ""
    """The one that is read alone where there is no index; empty: all of them are."""
    start: str = ""
    """What all names begin with."""

    def covers(self, file: str) -> bool:
        """True for a shard file of this name."""
        return file.startswith(self.start) and file.endswith(".safetensors")


SHARDS: Final = ShardNames(INDEX_FILE, SINGLE_FILE)
"""Those that transformers writes."""


_AGAIN: Final = "download the index again, or rebuild it from the shard files"


class ShardIndex(Struct, frozen=True):
    """The content of the index; the headers may differ."""

    weight_map: Mapping[str, str]
    """Tensor -> shard file."""
    total_size: int | None
    """`metadata.total_size`, in bytes; None if missing or not an integer."""


def read_index(source: Source, file: str = INDEX_FILE) -> ShardIndex:
    """Read `model.safetensors.index.json`, or an index of another name.

    Raises:
        CkptfixError: not an index, or it names a missing file or one in another directory.
    """
    data = source.read(file)
    return _plain_index(data, source) or _checked_index(parse_document(file, data), source)


def _plain_index(data: bytes, source: Source) -> ShardIndex | None:
    """The index; None if anything is unusual, which the slower reader then reports.

    The decoder is given the closed set of shard file names, so that each string is created once.
    """
    files = tuple(name for name in source.names() if name.endswith(".safetensors"))
    one_of: Any = Literal
    fields = [("weight_map", dict.__class_getitem__((str, one_of[files or ("",)])))]
    plain: Any = msgspec.defstruct("Plain", [*fields, ("metadata", Any, None)])
    try:
        index = msgspec.json.decode(data, type=plain)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    keys = len(("weight_map", "metadata")) + len(index.weight_map) + number_of_keys(index.metadata)
    if not index.weight_map or keys != data.count(b":"):
        return None
    return ShardIndex(index.weight_map, _total_size(index.metadata))


def _checked_index(index: JsonText, source: Source) -> ShardIndex:
    weight_map = index.value.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        is_missing = "weight_map" not in index.value
        raise CkptfixError(
            "is missing"
            if is_missing
            else "is empty"
            if weight_map == {}
            else "is not a JSON object",
            place=Place(index.file, "/weight_map"),
            advice=_AGAIN,
        )

    def path_of(file: object) -> Path:
        # NaN, which is JSON to Python, equals nothing, not even itself.
        same = (tensor for tensor, named in weight_map.items() if named is file or named == file)
        return "weight_map", next(same)

    missing: list[str] = []
    for file in _distinct(weight_map.values()):
        if not isinstance(file, str) or not file.endswith(".safetensors"):
            raise CkptfixError(
                "does not name a .safetensors file",
                place=index.place(path_of(file)),
                advice=_AGAIN,
            )
        if "/" in file or "\\" in file or "\x00" in file:
            raise CkptfixError(
                f"names {visible(file)!r}, a file outside the checkpoint directory",
                place=index.place(path_of(file)),
                advice="shard files must be in the same directory as the index",
            )
        if not source.has(file):
            missing.append(file)
    if missing:
        error = MissingShardsError(
            f"names {visible(missing[0])}{_more(len(missing) - 1)} missing",
            place=index.place(path_of(missing[0])),
            advice="download the shard files or rebuild the index",
        )
        error.weight_map = weight_map
        raise error
    return ShardIndex(weight_map, _total_size(index.value.get("metadata")))


def _more(number: int) -> str:
    return f" and {number:,} more, which are" if number else ", which is"


def _total_size(metadata: object) -> int | None:
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _distinct(files: Collection[object]) -> Iterable[object]:
    """Each file once; unchanged if one is not a string."""
    return dict.fromkeys(files) if set(map(type, files)) == {str} else files
