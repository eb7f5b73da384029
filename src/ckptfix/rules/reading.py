"""What several rules look at: which modules a file covers, excludes, declares."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

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


@dataclass(frozen=True, slots=True)
class Declared:
    """A quant_algo that a file declares for a module."""

    module: str
    quant_algo: str
    group_size: int | None
    metadata: MetadataFile
    entry: Statement | None
    """None where the file declares it for the whole checkpoint."""
    by_name: bool
    """True when an entry names exactly this module, false for a container or the whole file."""
    overruled: Statement | None
    """What decides instead in the same file: the pattern that excludes the module, else an entry
    nearer to it."""

    @property
    def place(self) -> Place:
        """Where it is declared."""
        return self.metadata.place if self.entry is None else self.entry.place


@dataclass(frozen=True)
class Declarations:
    """What the metadata declares for each module; every command reads it here.

    A file excludes a module by a pattern, or names it in quantized_layers, where the nearest entry
    decides, or declares one quant_algo for the whole checkpoint, which counts if it has no entries.
    """

    checkpoint: Checkpoint
    naming: Naming
    _excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    _entries: dict[str, dict[str, Statement]] = field(default_factory=dict)

    def excluded(self, metadata: MetadataFile) -> Mapping[str, int]:
        """Module -> index in `metadata.statements` of the first pattern that excludes it."""
        if metadata.file not in self._excluded:
            found: dict[str, int] = {}
            for index, statement in enumerate(metadata.statements):
                if statement.kind == "exclude":
                    for module in self.naming.read_pattern(statement.name).modules:
                        found.setdefault(module, index)
            self._excluded[metadata.file] = found
        return self._excluded[metadata.file]

    def entries(self, metadata: MetadataFile) -> Mapping[str, Statement]:
        """Module -> the entry nearest to it, of those that name or contain it."""
        if metadata.file not in self._entries:
            entries = (s for s in metadata.of_kind("entry") if s.quant_algo is not None)
            self._entries[metadata.file] = {
                module: entry
                for entry in sorted(entries, key=lambda entry: len(entry.name))
                for module in self.naming.read_name(entry.name).modules
            }
        return self._entries[metadata.file]

    @cached_property
    def all(self) -> tuple[Declared, ...]:
        """Everything declared, also what is overruled, in the order of the files."""
        return tuple(
            declared
            for metadata in self.checkpoint.metadata
            for declared in (*self._by_entry(metadata), *self._for_all(metadata))
        )

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Module -> the quant_algo that the metadata calls it by, of those that its tensors allow.

        It tells formats apart that are stored alike. What is overruled counts last.
        """
        formats = self.checkpoint.formats
        found: dict[str, str] = {}
        for declared in sorted(self.all, key=lambda declared: declared.overruled is not None):
            if declared.module not in found:
                fit = formats[declared.module].fit(declared.quant_algo)
                if fit is not None:
                    found[declared.module] = fit.quant_algo
        return found

    def _by_entry(self, metadata: MetadataFile) -> Iterator[Declared]:
        nearest, excluded = self.entries(metadata), self.excluded(metadata)
        for entry in metadata.of_kind("entry"):
            algo, size = entry.quant_algo, entry.group_size
            if algo is None:
                continue
            modules = self.naming.read_name(entry.name).modules
            by_name = len(modules) == 1
            for module in modules:
                overruled: Statement | None = nearest[module]
                if module in excluded:
                    overruled = metadata.statements[excluded[module]]
                elif overruled is entry:
                    overruled = None
                yield Declared(module, algo, size, metadata, entry, by_name, overruled)

    def _for_all(self, metadata: MetadataFile) -> Iterator[Declared]:
        algo, size = metadata.quant_algo, metadata.group_size
        if algo and not metadata.is_mixed and not metadata.of_kind("entry"):
            excluded = self.excluded(metadata)
            for module in self.checkpoint.modules:
                index = excluded.get(module)
                overruled = None if index is None else metadata.statements[index]
                yield Declared(module, algo, size, metadata, None, False, overruled)
