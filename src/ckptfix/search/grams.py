"""Texts found by the pieces of three characters that they hold.

A text holds another one only if it holds each of its pieces; the rarest piece leaves few texts to
look at.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

from ckptfix.search.effort import spend

_LENGTH: Final = 3
_SCANS: Final = 32
"""An index costs as much as this many searches of all texts, about."""
_LARGEST_INDEXED: Final = 20_000_000
"""Characters; the index of more would take gigabytes, and is not made."""


def _grams(text: str) -> set[str]:
    return {text[start : start + _LENGTH] for start in range(len(text) - _LENGTH + 1)}


class TextIndex:
    """Many texts, asked which of them hold a piece of text."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._scans = 0

    @cached_property
    def _is_small(self) -> bool:
        return sum(map(len, self._texts)) <= _LARGEST_INDEXED

    @cached_property
    def _postings(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for position, text in enumerate(self._texts):
            for gram in _grams(text):
                found.setdefault(gram, []).append(position)
        return found

    def holding(self, pieces: Iterable[str]) -> list[int]:
        """Positions of the texts that hold every piece, in any order, ascending."""
        wanted = [piece for piece in pieces if piece]
        left = self._candidates(wanted)
        for piece in sorted(wanted, key=len, reverse=True):
            spend(len(left))
            left = [position for position in left if piece in self._texts[position]]
        return list(left)

    def _candidates(self, wanted: Iterable[str]) -> Sequence[int]:
        grams = set().union(*map(_grams, wanted))
        if not grams or not self._worth_an_index():
            return range(len(self._texts))
        postings = self._postings
        return min((postings.get(gram, []) for gram in grams), key=len)

    def _worth_an_index(self) -> bool:
        self._scans += 1
        return self._scans > _SCANS and self._is_small


class PieceIndex:
    """Many things, each known by pieces that a text must hold, asked which a text may be for."""

    def __init__(self, pieces: Sequence[Iterable[str]]) -> None:
        """`pieces`: of each thing; without a piece of three characters it is for every text."""
        grams = [set().union(*map(_grams, of_one)) for of_one in pieces]
        common = Counter(gram for of_one in grams for gram in of_one)
        self._always: list[int] = []
        self._by_gram: dict[str, list[int]] = {}
        for position, of_one in enumerate(grams):
            if of_one:
                rarest = min(of_one, key=lambda gram: (common[gram], gram))
                self._by_gram.setdefault(rarest, []).append(position)
            else:
                self._always.append(position)

    def candidates(self, text: str) -> list[int]:
        """Positions of the things that the text may be for, ascending."""
        found = list(self._always)
        for gram in _grams(text) & self._by_gram.keys():
            found += self._by_gram[gram]
        spend(len(found))
        return sorted(found)
