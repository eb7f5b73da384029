"""Sizes that were observed with changed configs -> expressions of config.json.

A dimension gets an expression only where it follows from numbers of the config in every config that
was built; one that none of them changes gets none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Final

ONE: Final = "1"
"""No number of layers, heads or channels is 1 by chance in every config that was tried."""
_MOST_KEYS: Final = 5
_MOST_FACTORS: Final = 3
_COEFFICIENTS: Final = (1, 2, 3, 4, 8)

Values = Mapping[str, int]
"""Path of a key of config.json -> the number there."""


@dataclass(frozen=True)
class Observation:
    """The size of one dimension with a config."""

    values: Values
    size: int


def expression(observed: Sequence[Observation]) -> str:
    """The simplest expression that gives every size; empty if there is none.

    Where nothing changes it, only a size of 1 is known.

    Args:
        observed: the first one for the config itself. Those where one or two numbers differ show
            which numbers count; where many do, the expression must give that size too.
    """
    first = observed[0]
    keys = sorted(
        {
            key
            for each in observed
            for key, value in each.values.items()
            if each.size != first.size
            and value != first.values[key]
            and len(_changed(first, each)) < 3
        }
    )
    if not keys and {each.size for each in observed} == {1}:
        return ONE
    if not keys or len(keys) > _MOST_KEYS:
        return ""
    terms = {text: tuple(_value(text, o.values) for o in observed) for text in _monomials(keys)}
    sizes = tuple(each.size for each in observed)
    used = [key for key in keys if _alone_changes(key, observed)]
    for texts in _sums(terms, sizes):
        if all(any(_names(key, text) for text in texts) for key in used):
            return "+".join(texts)
    return ""


def _alone_changes(key: str, observed: Sequence[Observation]) -> bool:
    first = observed[0]
    return any(each.size != first.size and _changed(first, each) == {key} for each in observed)


def _changed(first: Observation, other: Observation) -> set[str]:
    return {key for key, value in other.values.items() if value != first.values[key]}


def _names(key: str, text: str) -> bool:
    return key in re.split(r"[*/]", text)


def _monomials(keys: Sequence[str]) -> Iterator[str]:
    """Products of up to three keys, and such products with a key over another."""
    for number in range(1, _MOST_FACTORS + 1):
        for factors in combinations(keys, number):
            yield "*".join(factors)
            for numerator, divisor in permutations(keys, 2):
                if numerator in factors:
                    others = [factor for factor in factors if factor != numerator]
                    yield "*".join((*others, f"{numerator}/{divisor}"))
    for key in keys:
        yield f"{key}*{key}"
        yield from (f"{other}*{key}*{key}" for other in keys if other != key)


def _value(text: str, values: Values) -> int:
    total = 1
    for factor in text.split("*"):
        first, *divisors = (values[part] for part in factor.split("/"))
        for divisor in divisors:
            first = first // divisor if divisor else 0
        total *= first
    return total


def _sums(
    terms: Mapping[str, tuple[int, ...]], sizes: tuple[int, ...]
) -> Iterator[tuple[str, ...]]:
    """Sums of the terms with coefficients that give the sizes, the simplest first."""
    yield from _with_one(terms, sizes)
    scaled = {
        (f"{c}*{text}" if c > 1 else text): tuple(c * value for value in values)
        for text, values in terms.items()
        for c in _COEFFICIENTS
        if all(value and c * value < size for value, size in zip(values, sizes, strict=True))
    }
    for text, values in scaled.items():
        rest = tuple(size - value for size, value in zip(sizes, values, strict=True))
        for last in _with_one(terms, rest):
            yield (text, *last)
    if len(scaled) > 150:
        return
    for (text, values), (second, others) in combinations(scaled.items(), 2):
        rest = tuple(s - v - o for s, v, o in zip(sizes, values, others, strict=True))
        if min(rest) > 0:
            for last in _with_one(terms, rest):
                yield (text, second, *last)


def _with_one(
    terms: Mapping[str, tuple[int, ...]], sizes: tuple[int, ...]
) -> Iterator[tuple[str, ...]]:
    """A term with a coefficient or over a number, or a constant."""
    for text, values in terms.items():
        if not all(values):
            continue
        if sizes[0] % values[0] == 0:
            c = sizes[0] // values[0]
            if c and all(v * c == size for v, size in zip(values, sizes, strict=True)):
                yield ((f"{c}*{text}" if c > 1 else text),)
        elif values[0] % sizes[0] == 0 and "/" not in text:
            c = values[0] // sizes[0]
            if all(v == size * c for v, size in zip(values, sizes, strict=True)):
                yield (f"{text}/{c}",)
    if len(set(sizes)) == 1:
        yield (str(sizes[0]),)
