"""Shared by rules: which modules a file covers, excludes and declares."""

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct, field

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Reading
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.place import Place
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.text import visible


def place_of(checkpoint: Checkpoint, module: str, role: str = "weight") -> Place:
    """The place of a module's tensor in the given role, otherwise of its first tensor."""
    names = checkpoint.modules[module].tensor_names
    tensor = names.get(role, next(iter(names.values())))
    return Place(checkpoint.table.file_of[tensor], tensor=visible(tensor))


class Declared(Struct, frozen=True):
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
    """What overrules it in the same file: the pattern that excludes the module, otherwise a more
    specific entry."""

    @property
    def place(self) -> Place:
        """Where it is declared."""
        return self.metadata.place if self.entry is None else self.entry.place


class Declarations(Struct, frozen=True, dict=True):
    """What the metadata declares for each module; every command reads it here.

    A file excludes a module by a pattern, or names it with a scheme, where the nearest name
    decides, or declares one quant_algo for the whole checkpoint, which counts if it has no entries.
    """

    checkpoint: Checkpoint
    naming: Naming
    _excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    _entries: dict[str, dict[str, Statement]] = field(default_factory=dict)
    _decided: dict[str, Mapping[str, Statement | MetadataFile | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, checkpoint: Checkpoint, name_map: NameMap) -> "Declarations":
        """What a checkpoint's metadata declares under a name map; made once for both."""
        key = "declarations", name_map.mapper
        if key not in checkpoint.derived:
            checkpoint.derived[key] = cls(checkpoint, Naming(checkpoint, name_map))
        found: Declarations = checkpoint.derived[key]
        return found

    def excluded(self, metadata: MetadataFile) -> Mapping[str, int]:
        """Module -> index in `metadata.statements` of the first pattern that excludes it.

        Patterns that no release applies exclude nothing.
        """
        if metadata.file not in self._excluded:
            found: dict[str, int] = {}
            seen: set[int] = set()
            for index, statement in enumerate(metadata.statements):
                if metadata.excludes_by(statement):
                    modules = self.naming.read_pattern(statement.name).modules
                    if id(modules) not in seen:  # patterns that cover the same share one tuple
                        seen.add(id(modules))
                        found |= dict.fromkeys((m for m in modules if m not in found), index)
            self._excluded[metadata.file] = found
        return self._excluded[metadata.file]

    def entries(self, metadata: MetadataFile) -> Mapping[str, Statement]:
        """Module -> the entry nearest to it, of those that name or contain it."""
        if metadata.file not in self._entries:
            self._entries[metadata.file] = {
                module: entry
                for entry in sorted(metadata.schemes, key=lambda entry: len(entry.name))
                for module in self.naming.read_name(entry.name).modules
            }
        return self._entries[metadata.file]

    @cached_property
    def all(self) -> tuple[Declared, ...]:
        """Everything declared, including what is overruled, in the order of the files."""
        if reading := self.checkpoint.dialect.reading:
            return tuple(self._by_own_reading(reading))
        return tuple(
            declared
            for metadata in self.checkpoint.metadata
            for declared in (*self._by_entry(metadata), *self._for_all(metadata))
        )

    def decided(
        self, reading: Reading, metadata: MetadataFile
    ) -> Mapping[str, Statement | MetadataFile | None]:
        """Module with a weight -> what decides for it in a file, as the quantizer reads it."""
        if metadata.file not in self._decided:
            modules = self.checkpoint.modules.items()
            named = [name for name, module in modules if module.weight is not None]
            self._decided[metadata.file] = {n: reading.decides(metadata, n) for n in named}
        return self._decided[metadata.file]

    def _by_own_reading(self, reading: Reading) -> Iterator[Declared]:
        for metadata in self.checkpoint.metadata:
            for name, decisive in self.decided(reading, metadata).items():
                if decisive is not None and decisive.quant_algo:
                    entry = decisive if isinstance(decisive, Statement) else None
                    algo, size = decisive.quant_algo, decisive.group_size
                    yield Declared(name, algo, size, metadata, entry, False, None)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Module -> the declared quant_algo, if its tensors allow it.

        It distinguishes formats that are stored identically. Overruled declarations count last.
        """
        formats = self.checkpoint.formats
        found: dict[str, str] = {}
        for overruled in (False, True):
            for declared in self.all:
                if declared.module not in found and (declared.overruled is not None) is overruled:
                    fit = formats[declared.module].fit(declared.quant_algo)
                    if fit is not None:
                        found[declared.module] = fit.quant_algo
        if self.checkpoint.dialect.reading:
            found |= self._by_any_scheme(found)
        return found

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """Module -> the name of its stored format, declared or not."""
        formats = self.checkpoint.formats
        return {name: stored.label(self.names.get(name)) for name, stored in formats.items()}

    def _by_any_scheme(self, known: Mapping[str, str]) -> dict[str, str]:
        """For modules that no name matches, a format that the file declares for another module.

        Targets may be spelled differently from the tensors.
        """
        schemes: list[str | None] = []
        for metadata in self.checkpoint.metadata:
            schemes += [*(s.quant_algo for s in metadata.schemes), metadata.quant_algo]
        found = {}
        for name, stored in self.checkpoint.formats.items():
            if name not in known and len(stored.fits) > 1:
                fit = next(filter(None, map(stored.fit, filter(None, schemes))), None)
                if fit is not None:
                    found[name] = fit.quant_algo
        return found

    def _by_entry(self, metadata: MetadataFile) -> Iterator[Declared]:
        nearest, excluded = self.entries(metadata), self.excluded(metadata)
        for entry in metadata.schemes:
            algo, size = entry.quant_algo or "", entry.group_size
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
