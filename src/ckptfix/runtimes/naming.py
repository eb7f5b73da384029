"""Which modules a name in the metadata stands for, in the checkpoint's and the runtime's spelling.

This is the part of a lookup that holds for every runtime: exact names, containers, and the widest
reading of patterns. It never scans all names per statement: names are sorted once, and a name or
pattern looks only at those that share its literal beginning.
"""

import fnmatch
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.names import REGEX_MARK, is_regex
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.lookup.patterns import BUILTIN_PACKED
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.profile_store import known_releases, known_runtimes
from ckptfix.untrusted_regex import UntrustedRegex

Spelling = Literal["runtime", "checkpoint"]

MOST_LIKELY = 64
"""Names compared for a suggestion, of each of two kinds."""
_WILDCARD = re.compile(r"[*?\[]")
_NUMBERS = re.compile(r"\d+")


class NameIndex:
    """Names in one spelling, each standing for a module of the checkpoint."""

    def __init__(self, module_of: Mapping[str, str]) -> None:
        self.module_of = module_of
        self._sorted = sorted(module_of)

    def starting(self, head: str) -> list[str]:
        """Every name that starts with these characters."""
        start = bisect_left(self._sorted, head)
        return self._sorted[start : bisect_right(self._sorted, head + "\U0010ffff", lo=start)]

    def stands_for(self, name: str) -> list[str]:
        """The module of this name, or all modules below it; checkpoint names."""
        found = [self.module_of[name]] if name in self.module_of else []
        found += [self.module_of[below] for below in self.starting(name + ".")]
        return found or self._members_of_packed(name)

    def _members_of_packed(self, name: str) -> list[str]:
        """The members of a packed module that the checkpoint stores apart: `qkv_proj`."""
        parent, _, last = name.rpartition(".")
        members = [f"{parent}.{part}" for part in BUILTIN_PACKED.get(last, ())]
        if not all(member in self.module_of for member in members):
            return []
        return [self.module_of[member] for member in members]

    def matching(self, pattern: str) -> list[str]:
        """The modules that an exclude pattern covers in its widest reading; checkpoint names.

        Exact name, ancestor, shell wildcards over the module name or over its weight's name,
        and `re:` patterns from the start of the name.
        """
        if is_regex(pattern):
            try:
                regex = UntrustedRegex(pattern.removeprefix(REGEX_MARK))
            except re.error:
                return []
            return [self.module_of[n] for n in self._sorted if regex.match(n)]
        wildcard = _WILDCARD.search(pattern)
        if wildcard is None:
            return self.stands_for(pattern)
        matches = re.compile(fnmatch.translate(pattern)).match
        head = pattern[: wildcard.start()]
        candidates = self.starting(head.removesuffix("."))
        return [self.module_of[n] for n in candidates if matches(n) or matches(n + ".weight")]

    @cached_property
    def _by_last_segment(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self._sorted:
            found.setdefault(name.rpartition(".")[2], []).append(name)
        return found

    @cached_property
    def _nearest_of(self) -> dict[str, "_Difference | None"]:
        """Name with its numbers masked -> how the nearest name differs, None if there is none."""
        return {}

    def nearest(self, name: str) -> str | None:
        """The most similar existing name, for a suggestion.

        Looks at a few likely ones only, and only once for names that differ in numbers: metadata
        with one wrong name usually has as many as there are modules.
        """
        masked = _NUMBERS.sub("0", name)
        if masked in self._nearest_of:
            difference = self._nearest_of[masked]
            if difference is None:
                return None
            alike = difference.applied_to(name)
            if alike in self.module_of:
                return alike
        found = self._most_similar(name)
        self._nearest_of[masked] = _difference(name, found) if found else None
        return found

    def _most_similar(self, name: str) -> str | None:
        parent, _, last = name.rpartition(".")
        likely = self._by_last_segment.get(last, [])[:MOST_LIKELY]
        likely += self.starting(parent)[:MOST_LIKELY]
        close = get_close_matches(name, likely, n=1, cutoff=0.8)
        return close[0] if close else None


@dataclass(frozen=True)
class _Difference:
    """Which dotted parts of a name are others in a similar name."""

    start: int
    end: int
    instead: tuple[str, ...]

    def applied_to(self, name: str) -> str:
        parts = name.split(".")
        return ".".join((*parts[: self.start], *self.instead, *parts[self.end :]))


def _difference(name: str, other: str) -> _Difference:
    ours, theirs = name.split("."), other.split(".")
    shorter = min(len(ours), len(theirs))
    start = next((n for n in range(shorter) if ours[n] != theirs[n]), shorter)
    alike = 0
    while alike < shorter - start and ours[-1 - alike] == theirs[-1 - alike]:
        alike += 1
    return _Difference(start, len(ours) - alike, tuple(theirs[start : len(theirs) - alike]))


@dataclass(frozen=True)
class Reading:
    """What one name in the metadata stands for."""

    spelling: Spelling | None
    """The spelling in which it names something; None when it names nothing."""
    modules: tuple[str, ...] = ()
    """Checkpoint names."""
    runtime_name: str = ""
    """How the runtime spells it."""


@dataclass(frozen=True)
class Naming:
    """A checkpoint's names under a name map."""

    checkpoint: Checkpoint
    name_map: NameMap

    @cached_property
    def runtime_names(self) -> NameIndex:
        """Index over the names that the runtime asks for."""
        mapped: dict[str, str] = {}
        for name in self.checkpoint.modules:
            runtime_name = self.name_map.mapper.map(name)
            mapped.setdefault(name if runtime_name is None else runtime_name, name)
        return NameIndex(mapped)

    @cached_property
    def checkpoint_names(self) -> NameIndex:
        """Index over the names in the tensors."""
        return NameIndex({name: name for name in self.checkpoint.modules})

    @cached_property
    def asked_names(self) -> NameIndex:
        """Index over the names that the newest known releases ask for, where that is known.

        They differ from both spellings where a class builds a module under another prefix than
        its own: `block_sparse_moe` as `mlp`, a language model without a prefix.
        """
        asked: dict[str, str] = {}
        for runtime in known_runtimes():
            newest = known_releases(runtime)[-1]
            family = family_for(runtime, newest, self.checkpoint.config.architectures)
            for name in self.checkpoint.modules if family else ():
                if family and (place := family.mapper.map(name)):
                    asked.setdefault(place, name)
        return NameIndex(asked)

    def _indexes(self) -> Iterator[tuple[Spelling, NameIndex]]:
        yield "runtime", self.runtime_names
        yield "checkpoint", self.checkpoint_names

    def read_name(self, name: str) -> Reading:
        """What an entry or target names; the runtime's spelling wins."""
        reading = self._read_names.get(name)
        if reading is None:
            reading = self._read_names[name] = self._read_name(name)
        return reading

    @cached_property
    def _read_names(self) -> dict[str, Reading]:
        # Rules ask for the same names over and over, in two files and in targets too.
        return {}

    def _read_name(self, name: str) -> Reading:
        for spelling, index in self._indexes():
            if modules := index.stands_for(name):
                return Reading(spelling, tuple(modules), self.name_map.mapper.map(name) or name)
        return self._as_asked(name, self.asked_names.stands_for(name))

    def read_pattern(self, pattern: str) -> Reading:
        """What an exclude pattern covers; the spelling that covers more wins."""
        reading = self._read_patterns.get(pattern)
        if reading is None:
            reading = self._read_patterns[pattern] = self._read_pattern(pattern)
        return reading

    @cached_property
    def _read_patterns(self) -> dict[str, Reading]:
        return {}

    def _read_pattern(self, pattern: str) -> Reading:
        found = [
            Reading(spelling, tuple(modules), self.name_map.mapper.map(pattern) or pattern)
            for spelling, index in self._indexes()
            if (modules := index.matching(pattern))
        ]
        if not found:
            return self._as_asked(pattern, self.asked_names.matching(pattern))
        return max(found, key=lambda reading: len(reading.modules))

    @staticmethod
    def _as_asked(name: str, modules: list[str]) -> Reading:
        return Reading("runtime", tuple(modules), name) if modules else Reading(None)

    def nearest(self, name: str) -> str | None:
        """The most similar name in either spelling."""
        return self.runtime_names.nearest(name) or self.checkpoint_names.nearest(name)
