"""`rewrite --tensors`: what is read for it, and what is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.source import DirectorySource, Source
from ckptfix.cli.judging import judge_all
from ckptfix.cli.loading import builtin_name_map, own_name_map
from ckptfix.jsontext.text import JsonText
from ckptfix.rewrite.tensors.headers import rename_in_head
from ckptfix.rewrite.tensors.index import rename_in_index
from ckptfix.rewrite.tensors.plan import NO_CHANGES, TensorChanges, TensorPlan, plan_tensors
from ckptfix.rewrite.tensors.renames import TensorRenames, rename_tensors
from ckptfix.rewrite.tensors.shards import copied_shards
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.tensor_maps import choose_tensor_map
from ckptfix.runtimes.verdict import TargetVerdict


def plan_names_of_tensors(
    checkpoint: Checkpoint, maps: Sequence[str], mapper: str | None
) -> TensorPlan:
    """The user's map over tensor names, else what is known of the architecture."""
    config = checkpoint.config
    own = own_name_map(maps, mapper)
    name_map = own or choose_tensor_map(config.architectures, config.nested)
    return plan_tensors(rename_tensors(checkpoint, name_map), builtin_name_map(checkpoint))


@dataclass(frozen=True)
class Written:
    """What --tensors writes beside the metadata."""

    changes: TensorChanges = NO_CHANGES
    copied: Mapping[str, str] | None = None
    """Shard file -> why it is copied; None where all are, into another directory."""


NOTHING_ELSE: Final = Written()


def read_written(source: Source, tensors: TensorPlan | None, *, elsewhere: bool) -> Written:
    """What a plan does to the shard files and the index.

    Args:
        source: the checkpoint.
        tensors: the plan; None without --tensors.
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


def harmed_by(tensors: TensorPlan, targets: Sequence[Target]) -> tuple[TargetVerdict, ...]:
    """Releases that would build modules wrongly, for the new names of their tensors alone."""
    if not tensors.renames.new_names:
        return ()
    before = judge_all(tensors.renames.before, targets)
    after = judge_all(tensors.checkpoint, targets)
    return tuple(new for old, new in zip(before, after, strict=True) if tensors.harms(old, new))
