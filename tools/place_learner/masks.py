"""Names with their numbers masked, and where the numbers of one name come from in another."""

import re
from collections.abc import Iterable
from typing import Final

_NUMBER: Final = re.compile(r"(?:(?<=\.)|^)\d+(?=\.|$)")


def mask(name: str) -> str:
    """A name with every number between dots as `#`: model.layers.#.mlp.down_proj."""
    return _NUMBER.sub("#", name)


def numbers(name: str) -> tuple[int, ...]:
    """The numbers that `mask` hides, in order."""
    return tuple(map(int, _NUMBER.findall(name)))


def carried(pairs: Iterable[tuple[str, str]]) -> bool:
    """True where the numbers of every second name are the first numbers of the first one, in order.

    >>> carried([("layers.0.experts.1.w1", "layers.0.experts"), ("layers.2.q", "layers.2.qkv")])
    True
    >>> carried([("layers.5.q", "layers.0.q")])
    False
    """
    return all(numbers(second) == numbers(first)[: len(numbers(second))] for first, second in pairs)
