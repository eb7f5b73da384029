"""The shard index: which file holds which tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ckptfix.checkpoint.json_text import JsonText
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.errors import CkptfixError, Place
from ckptfix.names import visible

INDEX_FILE: Final = "model.safetensors.index.json"


@dataclass(frozen=True)
class ShardIndex:
    """What the index says; the headers may say otherwise."""

    weight_map: Mapping[str, str]
    """Tensor -> shard file."""
    total_size: int | None
    """`metadata.total_size`, in bytes; None if it is not there or no whole number."""


def read_index(source: DirectorySource) -> ShardIndex:
    """Read `model.safetensors.index.json`.

    Raises:
        CkptfixError: not an index, or it names a file that is not there or lies elsewhere.
    """
    index = JsonText.parse(INDEX_FILE, source.read(INDEX_FILE))
    weight_map = index.value.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CkptfixError(
            "weight_map is missing, empty or not an object", place=Place(INDEX_FILE, "/weight_map")
        )
    checked: set[str] = set()
    for tensor, file in weight_map.items():
        if file in checked:
            continue
        path = ("weight_map", tensor)
        if not isinstance(file, str) or not file.endswith(".safetensors"):
            raise CkptfixError("does not name a .safetensors file", place=index.place(path))
        if "/" in file or "\\" in file or "\x00" in file:
            raise CkptfixError(
                f"names {visible(file)!r}, a file outside the checkpoint directory",
                place=index.place(path),
                advice="shard files must lie beside the index",
            )
        if not source.has(file):
            raise CkptfixError(
                f"names {visible(file)}, which is missing",
                place=index.place(path),
                advice="download the shard file or rebuild the index",
            )
        checked.add(file)
    metadata = index.value.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return ShardIndex(
        {str(tensor): str(file) for tensor, file in weight_map.items()},
        size if isinstance(size, int) and not isinstance(size, bool) else None,
    )
