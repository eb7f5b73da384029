"""Patterns of the exclude list, indexed, and why one of them excludes a module."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

Packed = Mapping[str, tuple[str, ...]]
"""Packed module -> its members, by the last part of their names."""

BUILTIN_PACKED: Final[Packed] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}

_SHELL_SPECIAL: Final = re.compile(r"[*?\[]")


class LookupDisagreementError(Exception):
    """The runtime raises: members are treated differently, or a pattern cannot be compiled."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern after mapping."""

    text: str
    original: str
    """As it stands in the metadata."""


@dataclass(frozen=True)
class Excluded:
    """Why a module is excluded."""

    how: str
    """`exact`, `packed members`, `substring`, `wildcard`, `experts`, `path part`, ..."""
    pattern: Pattern


FindPattern = Callable[[str], Pattern | None]


@dataclass(frozen=True)
class PatternTable:
    """All patterns, indexed so that a lookup does not look at each of them.

    Of several patterns that hit, the methods give the first in the order of the metadata.
    """

    patterns: Sequence[Pattern]

    @cached_property
    def position(self) -> dict[str, int]:
        """Text -> where it first stands."""
        return first_positions(pattern.text for pattern in self.patterns)

    @cached_property
    def position_without_dots(self) -> dict[str, int]:
        """Text without the dots at its end -> where it first stands."""
        return first_positions(pattern.text.rstrip(".") for pattern in self.patterns)

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(text) for text in self.position})

    @cached_property
    def _expert_texts(self) -> str:
        return "\n".join(text for text in self.position if "experts" in text)

    @cached_property
    def _globs(self) -> list[str]:
        return [text for text in self.position if _SHELL_SPECIAL.search(text)]

    @cached_property
    def _any_glob(self) -> re.Pattern[str]:
        """All globs as one expression, which is quick to say no."""
        return re.compile("|".join(map(fnmatch.translate, self._globs)))

    def earliest(self, positions: Iterable[int]) -> Pattern | None:
        """The pattern at the lowest of some positions, None when there is none."""
        lowest = min(positions, default=None)
        return None if lowest is None else self.patterns[lowest]

    def equal_to(self, name: str) -> Pattern | None:
        """The pattern that is the name."""
        return self.earliest(self.positions((name,)))

    def positions(self, texts: Iterable[str]) -> list[int]:
        """Where those of the texts stand that are patterns."""
        return [self.position[text] for text in texts if text in self.position]

    def inside(self, name: str) -> Pattern | None:
        """The pattern that stands somewhere in the name."""
        return self.earliest(self._inside(name))

    def inside_but_shorter(self, name: str) -> Pattern | None:
        """The pattern that stands somewhere in the name without being the name."""
        return self.earliest(self._inside(name) - set(self.positions((name,))))

    def _inside(self, name: str) -> set[int]:
        pieces = {
            name[start : start + length]
            for length in self._lengths
            for start in range(len(name) - length + 1)
        }
        return set(self.positions(pieces))

    def glob_for(self, name: str) -> Pattern | None:
        """The pattern that matches the name as `fnmatch` does; equal names match too."""
        positions = [] if _SHELL_SPECIAL.search(name) else self.positions((name,))
        if self._globs and self._any_glob.match(name):
            first = next(text for text in self._globs if fnmatch.fnmatchcase(name, text))
            positions.append(self.position[first])
        return self.earliest(positions)

    def expert_below(self, name: str) -> Pattern | None:
        """The pattern with `experts` in it in which the name stands."""
        if name not in self._expert_texts:
            return None
        return self.earliest(
            at for text, at in self.position.items() if "experts" in text and name in text
        )


def first_positions(keys: Iterable[str]) -> dict[str, int]:
    """Key -> where it first stands."""
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
