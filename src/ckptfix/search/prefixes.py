"""Which of many texts another text begins with or contains."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

_LAST: Final = "\U0010ffff"
_NEVER: Final = 1 << 62


class Prefixes:
    """Texts with ranks; of those that another text begins with, the lowest rank counts.

    In sorted order, the prefixes of a text are among the prefixes of the one just before it. Each
    has a link to its next shorter prefix, and one to a prefix further up, so that a chain of a
    thousand is climbed in ten steps.
    """

    def __init__(self, rank: Mapping[str, int]) -> None:
        self._texts = ["", *sorted(rank)]
        """An empty text without a rank comes first; every chain ends there."""
        self._ranks = [_NEVER, *(rank[text] for text in self._texts[1:])]
        self._shortest = min(map(len, rank), default=0)
        self._heads = {text[: self._shortest] for text in rank}

    @cached_property
    def _chains(self) -> tuple[list[int], list[int], list[int]]:
        """For each text: the next shorter prefix, one further up, the lowest rank in between."""
        texts, count = self._texts, len(self._texts)
        up, jump, depth = [0] * count, [0] * count, [0] * count
        lowest = list(self._ranks)
        for at in range(1, count):
            above = at - 1
            while above and not texts[at].startswith(texts[above]):
                above = up[above]
            far = jump[above]
            up[at], depth[at] = above, depth[above] + 1
            even = depth[above] - depth[far] == depth[far] - depth[jump[far]]
            jump[at] = jump[far] if even else above
            lowest[at] = min(lowest[at], lowest[above])
        return up, jump, lowest

    def first_at(self, text: str, start: int = 0, *, shorter: bool = False) -> int | None:
        """The lowest rank of the texts that `text` begins with from `start` on.

        `shorter`: `text` itself does not count.
        """
        if text[start : start + self._shortest] not in self._heads:
            return None
        rest = text[start:] if start else text
        up, jump, lowest = self._chains
        texts = self._texts
        at = bisect_right(texts, rest, lo=1) - 1
        if at and not rest.startswith(texts[at]):
            same = _common_length(texts[at], rest)
            while len(texts[at]) > same:
                at = jump[at] if len(texts[jump[at]]) > same else up[at]
        if shorter and at and len(texts[at]) == len(text):
            at = up[at]
        return None if lowest[at] == _NEVER else lowest[at]

    def first_inside(self, text: str, *, shorter: bool = False) -> int | None:
        """The lowest rank of the texts that `text` contains."""
        starts = range(max(len(text) - self._shortest, 0) + 1)
        found = (self.first_at(text, start, shorter=shorter) for start in starts)
        return min((rank for rank in found if rank is not None), default=None)


def _common_length(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Sorted:
    """Sorted texts, searched for all that begin with a prefix."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = sorted(texts)

    def span(self, head: str) -> tuple[int, int]:
        """The range of those that begin with `head`, half-open."""
        start = bisect_left(self.texts, head)
        return start, bisect_right(self.texts, head + _LAST, lo=start)

    def starting(self, head: str) -> list[str]:
        """Those that begin with `head`."""
        start, end = self.span(head)
        return self.texts[start:end]


class FirstBelow:
    """Texts in a given order, searched for the first that begins with a prefix."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._sorted = Sorted(texts)
        rank = {text: number for number, text in enumerate(texts)}
        self._count = len(texts)
        self._lowest = [_NEVER] * self._count + [rank[text] for text in self._sorted.texts]
        for at in range(self._count - 1, 0, -1):
            self._lowest[at] = min(self._lowest[2 * at], self._lowest[2 * at + 1])

    def first(self, head: str) -> int | None:
        """The place of the first text that begins with `head`."""
        start, end = self._sorted.span(head)
        return min(self._ranks(start, end), default=None)

    def _ranks(self, start: int, end: int) -> Iterator[int]:
        """The lowest ranks of pieces that make up a span: two of each size at most."""
        start, end = start + self._count, end + self._count
        while start < end:
            if start % 2:
                yield self._lowest[start]
                start += 1
            if end % 2:
                end -= 1
                yield self._lowest[end]
            start, end = start // 2, end // 2
