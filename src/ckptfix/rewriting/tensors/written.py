"""Files that a rename of tensors writes besides the metadata: shard file heads and the index."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.source import DirectorySource, Source
from ckptfix.jsontext.text import JsonText
from ckptfix.rewriting.tensors.headers import rename_in_head
from ckptfix.rewriting.tensors.index import rename_in_index
from ckptfix.rewriting.tensors.plan import NO_CHANGES, TensorChanges, TensorPlan
from ckptfix.rewriting.tensors.renames import TensorRenames
from ckptfix.rewriting.tensors.shards import copied_shards


class Written(Struct, frozen=True):
    """Files written besides the metadata."""

    changes: TensorChanges = NO_CHANGES
    copied: Mapping[str, str] | None = None
    """Shard file -> why it is copied; None if all are copied into another directory."""


NOTHING_ELSE: Final = Written()


def read_written(source: Source, tensors: TensorPlan | None, *, elsewhere: bool) -> Written:
    """The changes of a plan to the shard files and the index.

    Args:
        source: the checkpoint.
        tensors: the plan; None where no tensor is to be renamed.
        elsewhere: it is written into another directory.
    """
    if tensors is None:
        return NOTHING_ELSE
    changes = _read_changes(source, tensors.renames)
    if elsewhere or not isinstance(source, DirectorySource):
        return Written(changes)
    return Written(changes, copied_shards(source, changes.shards))


def _read_changes(source: Source, renames: TensorRenames) -> TensorChanges:
    """The heads and the index, with the new names in them."""
    shards = tuple(
        rename_in_head(file, _read_head(source, file), names)
        for file, names in renames.by_file.items()
    )
    index_file = renames.before.table.index_file
    if not shards or index_file is None:
        return TensorChanges(shards)
    document = JsonText.parse(index_file, source.read(index_file))
    return TensorChanges(shards, rename_in_index(document, renames.new_names))


def _read_head(source: Source, file: str) -> bytes:
    length = source.read_range(file, 0, 8)
    return length + source.read_range(file, 8, int.from_bytes(length, "little"))
