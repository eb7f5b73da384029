"""Which modules a name in the metadata matches, in the checkpoint's and the runtime's spelling.

This part of a lookup is the same for every runtime: exact names, containers, and the most
permissive interpretation of patterns.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import eq
from typing import Literal

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.names import NameMapper
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.name_index import NameIndex
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.profile_store import known_releases
from ckptfix.runtimes.registry import known_runtimes

Spelling = Literal["runtime", "checkpoint"]


class Reading(Struct, frozen=True):
    """What one name in the metadata matches."""

    spelling: Spelling | None
    """Which spelling matched; None if nothing did."""
    modules: tuple[str, ...] = ()
    """Checkpoint names."""
    runtime_name: str = ""
    """How the runtime spells it."""


class Naming(Struct, frozen=True, dict=True):
    """A checkpoint's names under a name map."""

    checkpoint: Checkpoint
    name_map: NameMap

    @cached_property
    def _spellings(self) -> "_Spellings":
        key = "spellings", self.name_map.mapper, self.checkpoint.config.architectures
        derived = self.checkpoint.table.derived
        if key not in derived:
            names = tuple(self.checkpoint.modules)
            derived[key] = _Spellings(names, self.name_map.mapper, key[-1])
        found: _Spellings = derived[key]
        return found

    @property
    def runtime_names(self) -> NameIndex:
        """Index of the names that the runtime looks up."""
        return self._spellings.runtime

    @property
    def checkpoint_names(self) -> NameIndex:
        """Index over the names in the tensors."""
        return self._spellings.checkpoint

    def read_name(self, name: str) -> Reading:
        """The modules of an entry or target; the runtime's spelling wins."""
        return self._spellings.read_name(name)

    def read_pattern(self, pattern: str) -> Reading:
        """The modules that an exclude pattern covers; the spelling that covers more wins."""
        return self._spellings.read_pattern(pattern)

    def nearest(self, name: str) -> str | None:
        """The most similar name in either spelling."""
        return self._spellings.nearest(name)


class _Spellings:
    """The names of modules in every spelling, with a cache of lookups.

    It is shared by all metadata of the same tensors: before and after a rewrite.
    """

    def __init__(
        self, names: Sequence[str], mapper: NameMapper, architectures: Sequence[str]
    ) -> None:
        self._names, self._mapper, self._architectures = names, mapper, architectures
        # Rules look up the same names repeatedly: in two files, and in targets.
        self._read_names: dict[str, Reading] = {}
        self._read_patterns: dict[str, Reading] = {}
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Each set of modules once, because thousands of patterns may cover the same ones."""

    @cached_property
    def runtime(self) -> NameIndex:
        mapped: dict[str, str] = {}
        for name in self._names:
            runtime_name = self._mapper.map(name)
            mapped.setdefault(name if runtime_name is None else runtime_name, name)
        return NameIndex(mapped)

    @cached_property
    def checkpoint(self) -> NameIndex:
        mapped = self.runtime.module_of
        if len(mapped) == len(self._names) and all(map(eq, mapped, mapped.values())):
            return self.runtime
        return NameIndex({name: name for name in self._names})

    @cached_property
    def looked_up(self) -> NameIndex:
        """Index of the names that the newest known releases look up, if that is known.

        They differ from both spellings if a class builds a module under a prefix that is not its
        own: `block_sparse_moe` as `mlp`, a language model without a prefix.
        """
        looked_up: dict[str, str] = {}
        for runtime in known_runtimes():
            newest = known_releases(runtime)[-1]
            family = family_for(runtime, newest, self._architectures)
            for name in self._names if family else ():
                if family and (place := family.mapper.map(name)):
                    looked_up.setdefault(place, name)
        # Both spellings are tried first, so names that are all in one of them are never found here.
        known = any(looked_up.keys() <= index.module_of.keys() for _, index in self._indexes())
        return NameIndex({} if known else looked_up)

    def _indexes(self) -> Iterator[tuple[Spelling, NameIndex]]:
        yield "runtime", self.runtime
        if self.checkpoint is not self.runtime:
            yield "checkpoint", self.checkpoint

    def read_name(self, name: str) -> Reading:
        reading = self._read_names.get(name)
        if reading is None:
            reading = self._read_names[name] = self._read_name(name)
        return reading

    def _read_name(self, name: str) -> Reading:
        for spelling, index in self._indexes():
            if modules := index.stands_for(name):
                return Reading(spelling, tuple(modules), self._mapper.map(name) or name)
        return self._as_looked_up(name, self.looked_up.stands_for(name))

    def read_pattern(self, pattern: str) -> Reading:
        reading = self._read_patterns.get(pattern)
        if reading is None:
            reading = self._read_patterns[pattern] = self._read_pattern(pattern)
        return reading

    def _read_pattern(self, pattern: str) -> Reading:
        found = [
            Reading(spelling, self._shared(modules), self._mapper.map(pattern) or pattern)
            for spelling, index in self._indexes()
            if (modules := index.matching(pattern))
        ]
        if not found:
            return self._as_looked_up(pattern, self.looked_up.matching(pattern))
        return max(found, key=lambda reading: len(reading.modules))

    def _shared(self, modules: Sequence[str]) -> tuple[str, ...]:
        made = tuple(modules)
        return self._modules.setdefault(made, made)

    @staticmethod
    def _as_looked_up(name: str, modules: Sequence[str]) -> Reading:
        return Reading("runtime", tuple(modules), name) if modules else Reading(None)

    def nearest(self, name: str) -> str | None:
        found = (index.nearest(name) for _, index in self._indexes())
        return next(filter(None, found), None)
