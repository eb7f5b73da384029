"""Texts found by the three-character pieces that they contain.

A text only contains another one if it contains each of its pieces; the rarest piece leaves few
candidates.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Final

from ckptfix.search.effort import spend

_LENGTH: Final = 3
_SCANS: Final = 32
"""Building an index costs about as much as this many searches of all texts."""
_LARGEST_INDEXED: Final = 20_000_000
"""Characters; an index of more would take gigabytes, so none is built."""


def _grams(text: str) -> list[str]:
    return [text[start : start + _LENGTH] for start in range(len(text) - _LENGTH + 1)]


class TextIndex:
    """Many texts, searched for those that contain a piece of text."""

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
            for gram in set(_grams(text)):
                found.setdefault(gram, []).append(position)
        return found

    def holding(self, piece: str) -> list[int]:
        """Positions of the texts that contain a piece, ascending."""
        return self.holding_all((piece,))

    def holding_all(self, pieces: Iterable[str]) -> list[int]:
        """Positions of texts with the longest piece that may contain the others, ascending."""
        required = [piece for piece in pieces if piece]
        found = self._candidates(required)
        longest = max(required, key=len, default="")
        spend(len(found))
        return [position for position in found if longest in self._texts[position]]

    def _candidates(self, required: Iterable[str]) -> Sequence[int]:
        grams = list(chain.from_iterable(map(_grams, required)))
        if not grams or not self._worth_an_index():
            return range(len(self._texts))
        postings = self._postings
        return min((postings.get(gram, []) for gram in grams), key=len)

    def _worth_an_index(self) -> bool:
        self._scans += 1
        return self._scans > _SCANS and self._is_small


class PieceIndex:
    """Many items, each with pieces that a matching text must contain."""

    def __init__(self, pieces: Sequence[Iterable[str]]) -> None:
        """`pieces`: per item; without a piece of three characters, an item fits every text."""
        grams = [list(chain.from_iterable(map(_grams, of_one))) for of_one in pieces]
        common = Counter(chain.from_iterable(grams))
        self._always: list[int] = []
        self._by_gram: dict[str, list[int]] = {}
        for position, of_one in enumerate(grams):
            if of_one:
                rarest = min(of_one, key=common.__getitem__)
                self._by_gram.setdefault(rarest, []).append(position)
            else:
                self._always.append(position)

    def candidates(self, text: str) -> list[int]:
        """Positions of the items that the text may match, ascending."""
        found = list(self._always)
        for gram in self._by_gram.keys() & _grams(text):
            found += self._by_gram[gram]
        spend(len(found))
        return sorted(found)
