"""What was built with changed configs -> sizes as expressions of config.json.

Pure; nothing of a runtime is needed here. A dimension gets an expression only where it follows from
numbers of the config in every config that was built; one that none of them changes gets none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, Final

from place_learner.variants import LAYERS

UNKNOWN: Final = "?"
_MOST_KEYS: Final = 5
_MOST_FACTORS: Final = 3
_COEFFICIENTS: Final = (1, 2, 3, 4, 8)
_REFUSED: Final[Mapping[str, str]] = {"stops": "s", "cut": "w", "part": "w"}
"""What became of a tensor of another size -> the letter of `SizeRow`; others are no fault."""

Values = Mapping[str, int]
"""Path of a key of config.json -> the number there."""


@dataclass(frozen=True)
class Observation:
    """The size of one dimension with a config."""

    values: Values
    size: int


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one class: `SizeRow` of the product.

    Args:
        result: of `place_learner.sizes`.
    """
    grouped: dict[tuple[Any, ...], list[str]] = {}
    numbers = dict(_numbers(result["config"], ""))
    given = dict(_unsettled(result))
    for name, shapes in result["base"]["shapes"].items():
        row = _row(name, shapes, result, numbers)
        if row is not None:
            sizes, larger, smaller, own = row
            conditions = tuple(sorted(own.items(), key=lambda item: item[0]))
            key = sizes, larger, smaller, repr(conditions)
            grouped.setdefault(key, []).append(name)
            given[repr(conditions)] = own
    return [
        {
            "sizes": sizes,
            "names": sorted(names),
            "larger": larger,
            "smaller": smaller,
            **({"given": given[conditions]} if given[conditions] else {}),
        }
        for (sizes, larger, smaller, conditions), names in grouped.items()
    ]


def conditions(result: Mapping[str, Any]) -> dict[str, Any]:
    """Path -> value of what could not be changed: without that nothing is known."""
    return dict(_unsettled(result))


def model_types(config: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, str]]:
    """Path of every config in a config -> its model_type."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from model_types(value, f"{start}{key}.")
        elif key == "model_type" and isinstance(value, str):
            yield f"{start}{key}", value


def _numbers(config: Mapping[str, Any], start: str) -> Iterator[tuple[str, int]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{start}{key}.")
        elif type(value) is int:
            yield f"{start}{key}", value


def value_at(config: Any, name: str) -> Any:
    """The value at a path with dots; None where there is none."""
    for key in name.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _unsettled(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys that could be changed in no way, with their values."""
    built: dict[str, bool] = {}
    for run in result["runs"]:
        for key in run["change"]:
            built[key] = built.get(key, False) or "shapes" in run
    for key, is_built in built.items():
        value = value_at(result["config"], key)
        if not is_built and not isinstance(value, str):
            yield key, value


def _row(
    name: str, shapes: Sequence[Sequence[int]], result: Mapping[str, Any], numbers: Values
) -> tuple[tuple[str, ...], str, str, dict[str, Any]] | None:
    """(Sizes, letters for larger and smaller ones, conditions) of one tensor; None for no row."""
    refused = result["refuses"].get(name)
    if len(shapes) != 1 or not shapes[0] or not refused or _counts_layers(name, shapes, result):
        return None
    try:
        seen, own = _observed(name, shapes[0], result, numbers)
    except _UnsettledError:
        return None
    sizes, larger, smaller = [], "", ""
    for axis, (more, less) in enumerate(refused):
        strict = more in _REFUSED and less in _REFUSED
        observed = [Observation(values, each[axis]) for values, each in seen]
        size = expression(observed) if strict else ""
        sizes.append(size if size and not _may_count_layers(size, result) else UNKNOWN)
        larger += _REFUSED.get(more, "-")
        smaller += _REFUSED.get(less, "-")
    return (tuple(sizes), larger, smaller, own) if set(sizes) != {UNKNOWN} else None


def _counts_layers(name: str, shapes: Sequence[Sequence[int]], result: Mapping[str, Any]) -> bool:
    """Whether another number of layers changes the shapes."""
    with_fewer = result.get("fewer", {}).get("shapes", {})
    return name in with_fewer and with_fewer[name] != shapes


def _may_count_layers(size: str, result: Mapping[str, Any]) -> bool:
    """Whether a number in an expression may be that of the layers."""
    numbers = (int(part) for part in re.split(r"[*/+]", size) if part.isdecimal())
    return "shapes" not in result.get("fewer", {}) and any(n >= LAYERS for n in numbers)


class _UnsettledError(Exception):
    """A tensor has several shapes, or a number decides whether there is one."""


def _observed(
    name: str, shape: Sequence[int], result: Mapping[str, Any], numbers: Values
) -> tuple[list[tuple[Values, Sequence[int]]], dict[str, Any]]:
    """(Values, shape) wherever only numbers are changed; path -> value of other keys that count."""
    seen: list[tuple[Values, Sequence[int]]] = [(numbers, shape)]
    own: dict[str, Any] = {}
    for run in result["runs"]:
        if "shapes" not in run:
            continue
        found, change = run["shapes"].get(name), run["change"]
        values = {key: value_at(result["config"], key) for key in change}
        is_number = all(type(value) is int for value in values.values())
        if name in run["cut"] or (found is None and is_number) or (found and len(found) > 1):
            raise _UnsettledError
        if found and is_number and len(found[0]) == len(shape):
            seen.append(({**numbers, **change}, found[0]))
        elif found and found[0] != shape:
            own |= values
    return seen, own


def expression(observed: Sequence[Observation]) -> str:
    """The simplest expression that gives every size; empty if there is none, or nothing changes.

    Args:
        observed: the first one for the config itself.
    """
    first = observed[0]
    keys = sorted(
        {
            key
            for each in observed
            for key, value in each.values.items()
            if each.size != first.size and value != first.values[key]
        }
    )
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
    return any(
        each.size != first.size
        and {k for k, value in each.values.items() if value != first.values[k]} == {key}
        for each in observed
    )


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
