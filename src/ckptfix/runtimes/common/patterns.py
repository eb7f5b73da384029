"""Patterns of the exclude list, indexed, and why one of them excludes a module."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final, TypeVar

from msgspec import Struct

from ckptfix.search.globs import SPECIAL, GlobTable, glob_table
from ckptfix.search.grams import TextIndex
from ckptfix.search.prefixes import Prefixes

Packed = Mapping[str, tuple[str, ...]]
"""Packed module -> its members, by the last part of their names."""

BUILTIN_PACKED: Final[Packed] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}


class LookupDisagreementError(Exception):
    """The runtime raises: members are treated differently, or a pattern cannot be compiled."""


class Pattern(Struct, frozen=True):
    """A pattern after mapping."""

    text: str
    original: str
    """As spelled in the metadata."""


class Excluded(Struct, frozen=True):
    """Why a module is excluded."""

    how: str
    """`exact`, `packed members`, `substring`, `wildcard`, `experts`, `path part`, ..."""
    pattern: Pattern


IndexT = TypeVar("IndexT")
FindPattern = Callable[[str], Pattern | None]


class PatternTable(Struct, frozen=True, dict=True):
    """All patterns, indexed so that a lookup does not scan them.

    If several patterns match, the methods return the first in the order of the metadata.
    """

    patterns: Sequence[Pattern]

    @cached_property
    def position(self) -> dict[str, int]:
        """Text -> its first position."""
        return first_positions(pattern.text for pattern in self.patterns)

    @cached_property
    def _anywhere(self) -> Prefixes:
        return Prefixes(self.position)

    @cached_property
    def _whole_parts(self) -> Prefixes:
        return Prefixes(first_positions(f"{pattern.text}." for pattern in self.patterns))

    @cached_property
    def _whole_parts_without_dots(self) -> Prefixes:
        texts = (f"{pattern.text.rstrip('.')}." for pattern in self.patterns)
        return Prefixes(first_positions(texts))

    @cached_property
    def _with_experts(self) -> list[str]:
        return [text for text in self.position if "experts" in text]

    @cached_property
    def _expert_texts(self) -> TextIndex:
        return TextIndex(self._with_experts)

    @cached_property
    def _globs(self) -> tuple[str, ...]:
        return tuple(text for text in self.position if SPECIAL.search(text))

    @cached_property
    def _glob_table(self) -> GlobTable:
        return glob_table(self._globs)

    @cached_property
    def _found(self) -> dict[tuple[str, str], int | None]:
        """(how, name) -> position: most releases look up the same names."""
        return {}

    @cached_property
    def _indexes(self) -> dict[object, Any]:
        return {}

    def _remembered(self, how: str, name: str, find: Callable[[str], int | None]) -> Pattern | None:
        key = how, name
        if key not in self._found:
            self._found[key] = find(name)
        at = self._found[key]
        return None if at is None else self.patterns[at]

    def index(self, make: Callable[["PatternTable"], IndexT]) -> IndexT:
        """A runtime-specific index over the same patterns, built once.

        Args:
            make: a class or function that makes it; also the key of the index.
        """
        if make not in self._indexes:
            self._indexes[make] = make(self)
        found: IndexT = self._indexes[make]
        return found

    def earliest(self, positions: Iterable[int]) -> Pattern | None:
        """The pattern at the lowest of some positions, None when there is none."""
        lowest = min(positions, default=None)
        return None if lowest is None else self.patterns[lowest]

    def equal_to(self, name: str) -> Pattern | None:
        """The pattern that is the name."""
        return self.earliest(self.positions((name,)))

    def positions(self, texts: Iterable[str]) -> list[int]:
        """Positions of those of the texts that are patterns."""
        return [self.position[text] for text in texts if text in self.position]

    def inside(self, name: str) -> Pattern | None:
        """The first pattern that the name contains."""
        return self._remembered("inside", name, self._anywhere.first_inside)

    def inside_but_shorter(self, name: str) -> Pattern | None:
        """The first pattern that the name contains and does not equal."""
        find = partial(self._anywhere.first_inside, shorter=True)
        return self._remembered("shorter", name, find)

    def in_whole_parts(self, name: str, *, ignore_last_dots: bool) -> Pattern | None:
        """The first pattern whose dotted parts occur consecutively in the name.

        `ignore_last_dots`: dots at the end of either do not count.
        """
        if not ignore_last_dots:
            return self._remembered("parts", name, partial(_in_parts, self._whole_parts))
        find = partial(_in_parts, self._whole_parts_without_dots)
        return self._remembered("parts without dots", name.rstrip("."), find)

    def glob_for(self, name: str) -> Pattern | None:
        """The pattern that matches the name as `fnmatch` does; equal names match too."""
        return self._remembered("glob", name, self._glob_for)

    def _glob_for(self, name: str) -> int | None:
        positions = [] if SPECIAL.search(name) else self.positions((name,))
        first = self._glob_table.first(name) if self._globs else None
        if first is not None:
            positions.append(self.position[self._globs[first]])
        return min(positions, default=None)

    def expert_below(self, name: str) -> Pattern | None:
        """The first pattern containing `experts` that contains the name."""
        return self._remembered("expert", name, self._expert_below)

    def _expert_below(self, name: str) -> int | None:
        first = next(iter(self._expert_texts.holding(name)), None)
        return None if first is None else self.position[self._with_experts[first]]


def _in_parts(patterns: Prefixes, name: str) -> int | None:
    """`patterns` each end in a dot."""
    parts = f"{name}."
    starts = [0, *(at + 1 for at, character in enumerate(name) if character == ".")]
    found = (patterns.first_at(parts, start) for start in starts)
    return min((at for at in found if at is not None), default=None)


def first_positions(keys: Iterable[str]) -> dict[str, int]:
    """Key -> its first position."""
    positions: dict[str, int] = {}
    for at, key in enumerate(keys):
        positions.setdefault(key, at)
    return positions


def by_members(name: str, members: Sequence[str], find: FindPattern) -> Excluded | None:
    """Exclusion of a packed module through its members.

    Raises:
        LookupDisagreementError: some members are excluded and some are not.
    """
    last = name.rpartition(".")[2]
    # Every occurrence is replaced, as the runtimes do, not only the last part.
    found = [find(name.replace(last, member)) for member in members]
    hits = [pattern for pattern in found if pattern is not None]
    if hits and len(hits) < len(found):
        raise LookupDisagreementError(f"some but not all members of {name} are excluded")
    return Excluded("packed members", hits[0]) if hits else None
