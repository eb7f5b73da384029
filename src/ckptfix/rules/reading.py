"""What several rules look at: which modules a file covers, excludes, declares."""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import MetadataFile, Statement
from ckptfix.place import Place
from ckptfix.runtimes.naming import Naming
from ckptfix.text import visible


def place_of(checkpoint: Checkpoint, module: str, role: str = "weight") -> Place:
    """The shard file and a tensor of a module; its first one where it has none of that role."""
    names = checkpoint.modules[module].tensor_names
    tensor = names.get(role, next(iter(names.values())))
    return Place(checkpoint.table.file_of[tensor], tensor=visible(tensor))


def covered_by_entries(naming: Naming, metadata: MetadataFile) -> dict[str, str]:
    """Module -> the entry that stands for it, by the entry nearest to the module."""
    covered: dict[str, str] = {}
    entries = sorted(
        (s for s in metadata.of_kind("entry") if s.quant_algo is not None),
        key=lambda s: len(s.name),
    )
    for entry in entries:
        for module in naming.read_name(entry.name).modules:
            covered[module] = entry.name
    return covered


def excluded(naming: Naming, metadata: MetadataFile) -> dict[str, int]:
    """Module -> index in `metadata.statements` of the first pattern that excludes it."""
    found: dict[str, int] = {}
    for index, statement in enumerate(metadata.statements):
        if statement.kind == "exclude":
            for module in naming.read_pattern(statement.name).modules:
                found.setdefault(module, index)
    return found


@dataclass(frozen=True, slots=True)
class Declared:
    """A quant_algo that a file declares for a module."""

    module: str
    quant_algo: str
    group_size: int | None
    source: Statement | MetadataFile
    by_name: bool
    """True when an entry names exactly this module, false for a container or the whole file."""

    @property
    def place(self) -> Place:
        """Where it is declared."""
        return self.source.place


def declarations(checkpoint: Checkpoint, naming: Naming) -> Iterator[Declared]:
    """What each file declares for each module, by entry or for the whole checkpoint."""
    for metadata in checkpoint.metadata:
        yield from _by_entry(naming, metadata)
        if metadata.quant_algo and not metadata.is_mixed and not metadata.of_kind("entry"):
            covered = excluded(naming, metadata)
            for module in checkpoint.modules:
                if module not in covered:
                    algo, size = metadata.quant_algo, metadata.group_size
                    yield Declared(module, algo, size, metadata, False)


def _by_entry(naming: Naming, metadata: MetadataFile) -> Iterator[Declared]:
    for entry in metadata.of_kind("entry"):
        if entry.quant_algo is None:
            continue
        modules = naming.read_name(entry.name).modules
        for module in modules:
            yield Declared(module, entry.quant_algo, entry.group_size, entry, len(modules) == 1)
