"""Sizes as `sizes` of layouts spells them, computed from config.json."""

from math import prod

from ckptfix.checkpoint.model_config import ModelConfig


def size_in(text: str, config: ModelConfig) -> int | None:
    """A size computed from config.json; None if a key is missing.

    >>> size_in("3*width|8", ModelConfig(values={"width": 5}))
    15
    >>> size_in("width^4", ModelConfig(values={"width": 5}))
    8
    >>> size_in("sizes.1", ModelConfig(values={"sizes": [5, 7]}))
    7
    """
    found = (_rounded(either, config) for either in text.split("|"))
    return next((size for size in found if size is not None), None)


def _rounded(text: str, config: ModelConfig) -> int | None:
    """A sum, or the next multiple of what is after `^`."""
    size, _, step = text.partition("^")
    found, unit = _sum(size, config), _sum(step, config) if step else 1
    return -(-found // unit) * unit if found is not None and unit else None


def _sum(text: str, config: ModelConfig) -> int | None:
    terms = [_product(term, config) for term in text.split("+")]
    return None if None in terms else sum(term for term in terms if term is not None)


def _product(text: str, config: ModelConfig) -> int | None:
    factors = [_quotient(factor, config) for factor in text.split("*")]
    return None if None in factors else prod(factor for factor in factors if factor is not None)


def _quotient(text: str, config: ModelConfig) -> int | None:
    first, *divisors = text.split("/")
    size = int(first) if first.isdecimal() else _number(first, config)
    for divisor in divisors:
        size = None if size is None else _divided(size, divisor, config)
    return size


def _number(key: str, config: ModelConfig) -> int | None:
    """Of a key, or of an item in a list: `key.0`."""
    holder, _, index = key.rpartition(".")
    if not index.isdecimal():
        return config.number(key)
    items = config.values.get(holder)
    item = items[int(index)] if isinstance(items, list) and int(index) < len(items) else None
    return item if type(item) is int else None


def _divided(size: int, divisor: str, config: ModelConfig) -> int | None:
    number = int(divisor) if divisor.isdecimal() else _number(divisor, config)
    if number is not None:
        return size // number if number else None
    fraction = config.values.get(divisor)
    return size * round(1 / fraction) if isinstance(fraction, float) and fraction > 0 else None
