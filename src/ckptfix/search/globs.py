"""Shell wildcards as `fnmatch.fnmatchcase` reads them, compiled only where that is needed."""

import fnmatch
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Final

from ckptfix.search.effort import spend
from ckptfix.search.grams import PieceIndex

SPECIAL: Final = re.compile(r"[*?\[]")
"""Characters that make a name a pattern."""
_WILDCARD: Final = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*+\]")
"""As in `fnmatch.translate`; an unclosed bracket matches itself."""


_DIGIT: Final = re.compile(r"[0-9]")
COST: Final = 4
"""Cost of one match, in comparisons."""
_MANY: Final = 200
"""With fewer names, compiling a pattern takes longer than it saves."""


class Glob:
    """One pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.pieces = _WILDCARD.split(pattern)
        """The texts between the wildcards; a name must contain each of them."""

    @property
    def head(self) -> str:
        """The text that a name must begin with."""
        return self.pieces[0]

    @cached_property
    def ignores_numbers(self) -> bool:
        """True if neither the numbers in a name nor its length affect whether it matches."""
        return not (self._needs_regex or _DIGIT.search(self.pattern))

    def matches(self, name: str) -> bool:
        """As `fnmatch.fnmatchcase`."""
        if self._needs_regex:
            return self._regex.match(name) is not None
        first, *middle = self.pieces
        if not middle:
            return name == first
        last = middle.pop()
        if not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in middle:
            at = name.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return at <= end

    def matching(self, names: Sequence[str]) -> list[str]:
        """Those of the names that it matches."""
        spend(COST * len(names))
        matches = self.matches if len(names) < _MANY else self._regex.match
        return list(filter(matches, names))

    @cached_property
    def _needs_regex(self) -> bool:
        return "?" in self.pattern or "[" in self.pattern

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(fnmatch.translate(self.pattern))


@lru_cache(maxsize=8)  # most releases, and both runtimes, hold the same patterns
def glob_table(patterns: tuple[str, ...]) -> "GlobTable":
    """The table of some patterns."""
    return GlobTable(patterns)


class GlobTable:
    """Many patterns, searched for the first that matches a name."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._globs = [Glob(pattern) for pattern in patterns]
        self._index = PieceIndex([glob.pieces for glob in self._globs])

    def first(self, name: str) -> int | None:
        """Index of the first pattern that matches."""
        for at in self._index.candidates(name):
            spend(COST)
            if self._globs[at].matches(name):
                return at
        return None
