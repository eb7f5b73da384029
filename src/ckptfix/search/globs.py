"""Shell wildcards as `fnmatch.fnmatchcase` reads them, compiled only where that is needed."""

import fnmatch
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from ckptfix.search.effort import spend
from ckptfix.search.grams import PieceIndex

SPECIAL: Final = re.compile(r"[*?\[]")
"""A character that makes a pattern of a name."""
_WILDCARD: Final = re.compile(r"\*+|\?|\[!?+\]?+[^\]]*+\]")
"""As `fnmatch.translate` takes them; a bracket that nothing closes stands for itself."""


COST: Final = 4
"""What a match takes, in comparisons."""


class Glob:
    """One pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.pieces = _WILDCARD.split(pattern)
        """What stands between the wildcards; a name must hold each of them."""

    @property
    def head(self) -> str:
        """What a name must begin with."""
        return self.pieces[0]

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

    @cached_property
    def _needs_regex(self) -> bool:
        return "?" in self.pattern or "[" in self.pattern

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile(fnmatch.translate(self.pattern))


class GlobTable:
    """Many patterns, asked for the first that matches a name."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._globs = [Glob(pattern) for pattern in patterns]
        self._index = PieceIndex([glob.pieces for glob in self._globs])

    def first(self, name: str) -> int | None:
        """The place of the first pattern that matches."""
        for at in self._index.candidates(name):
            spend(COST)
            if self._globs[at].matches(name):
                return at
        return None
