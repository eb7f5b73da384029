"""Names that only differ in numbers, tried once for all of them.

A checkpoint has thousands of names and a dozen shapes: every layer has `layers.0.mlp.up_proj`.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import chain
from typing import Final

from ckptfix.search.effort import spend
from ckptfix.search.globs import Glob

NUMBER: Final = re.compile(r"[0-9]+")
_WORTH: Final = 8
"""Minimum average number of names per shape: a shape costs as much as a name."""


class Shapes:
    """Names grouped by shape, with every number as `0`, and the value of each name."""

    def __init__(self, stands_for: Mapping[str, str], *, or_with: str) -> None:
        """`or_with`: a name also matches with this suffix."""
        self._stands_for, self._or_with = stands_for, or_with
        self._matched: dict[tuple[str, ...], tuple[str, ...]] = {}

    @cached_property
    def _by_shape(self) -> dict[str, list[int]]:
        """Shape -> the positions of its names."""
        found: dict[str, list[int]] = {}
        for at, name in enumerate(self._stands_for):
            found.setdefault(NUMBER.sub("0", name), []).append(at)
        return found

    @cached_property
    def _longer(self) -> dict[str, str]:
        """Shape with the suffix `or_with` -> shape."""
        return {f"{shape}{self._or_with}": shape for shape in self._by_shape}

    def decides(self, glob: Glob) -> bool:
        """True if trying the shapes is enough, and saves work."""
        return glob.ignores_numbers and len(self._by_shape) * _WORTH <= len(self._stands_for)

    def matching(self, glob: Glob) -> tuple[str, ...]:
        """The values of the matching names, in their order; requires `decides`.

        One tuple for all patterns that match the same.
        """
        hit = set(glob.matching(list(self._by_shape)))
        if len(hit) < len(self._by_shape):
            hit |= {self._longer[name] for name in glob.matching(list(self._longer))}
        key = tuple(shape for shape in self._by_shape if shape in hit)
        if key not in self._matched:
            spend(len(self._stands_for))
            places = sorted(chain.from_iterable(map(self._by_shape.__getitem__, key)))
            values = tuple(self._stands_for.values())
            self._matched[key] = tuple(map(values.__getitem__, places))
        return self._matched[key]
