"""What was built with changed configs -> rows of sizes, as the product has them.

Pure; nothing of a runtime is needed here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

from place_learner.size_expressions import ONE, Observation, Values, expression
from place_learner.variants import LAYERS

UNKNOWN: Final = "?"
_REFUSED: Final[Mapping[str, str]] = {"stops": "s", "cut": "w", "part": "w"}
"""What became of a tensor of another size -> the letter of `SizeRow`; others are no fault."""


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one class: `SizeRow` of the product.

    Args:
        result: of `place_learner.sizes`.
    """
    grouped: dict[tuple[Any, ...], list[str]] = {}
    numbers = dict(_numbers(result["config"], ""))
    given: dict[str, dict[str, Any]] = {}
    for name in result["base"]["shapes"]:
        row = _row(name, result, numbers)
        if row is not None:
            (sizes, *others), larger, smaller, own = row
            conditions = tuple(sorted(own.items(), key=lambda item: item[0]))
            key = sizes, larger, smaller, tuple(others), repr(conditions)
            grouped.setdefault(key, []).append(name)
            given[repr(conditions)] = own
    return [
        {
            "sizes": sizes,
            "names": sorted(names),
            "larger": larger,
            "smaller": smaller,
            **({"others": others} if others else {}),
            **({"given": given[conditions]} if given[conditions] else {}),
        }
        for (sizes, larger, smaller, others, conditions), names in grouped.items()
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
    name: str, result: Mapping[str, Any], numbers: Values
) -> tuple[list[tuple[str, ...]], str, str, dict[str, Any]] | None:
    """(Sizes in each kind of layer, letters for larger and smaller ones, conditions), or no row."""
    shapes, refused = result["base"]["shapes"][name], result["refuses"].get(name)
    if not shapes[0] or not refused or _counts_layers(name, shapes, result):
        return None
    strict = [
        more in _REFUSED and (less in _REFUSED or next_ in _REFUSED)
        for more, less, next_ in refused
    ]
    every: dict[tuple[str, ...], None] = {}
    own: dict[str, Any] = {}
    for shape, alike in _kinds(name, result):
        try:
            seen, conditions = _observed(name, shape, alike, result, numbers)
        except _UnsettledError:
            return None
        if len(shape) != len(refused):
            return None
        observed = ([Observation(v, each[axis]) for v, each in seen] for axis in range(len(shape)))
        sizes = (
            expression(o) if is_strict else ""
            for o, is_strict in zip(observed, strict, strict=True)
        )
        every[tuple(s if s and not _may_count_layers(s, result) else UNKNOWN for s in sizes)] = None
        own |= conditions
    if any(set(sizes) <= {UNKNOWN, ONE} for sizes in every) or any(
        map(_is_of_layers, own.values())
    ):
        return None
    larger = "".join(_REFUSED.get(more, "-") for more, _, _ in refused)
    smaller = "".join(_REFUSED.get(less, "-") for _, less, _ in refused)
    return list(every), larger, smaller, own


def _is_of_layers(value: Any) -> bool:
    """Whether a value is a list of configs for each layer: no two models share one."""
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _kinds(name: str, result: Mapping[str, Any]) -> Iterator[tuple[Sequence[int], frozenset[str]]]:
    """(Shape, tensors that have it) of each kind of layer; no tensors if all have the same."""
    several = result["base"].get("several", {}).get(name, {})
    for shape in result["base"]["shapes"][name]:
        yield shape, frozenset(each for each, found in several.items() if found == shape)


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
    name: str, shape: Sequence[int], alike: Set[str], result: Mapping[str, Any], numbers: Values
) -> tuple[list[tuple[Values, Sequence[int]]], dict[str, Any]]:
    """(Values, shape) wherever only numbers are changed; path -> value of other keys that count."""
    seen: list[tuple[Values, Sequence[int]]] = [(numbers, shape)]
    own: dict[str, Any] = {}
    built = (run for run in result["runs"] if "shapes" in run)
    for run in sorted(built, key=lambda run: len(run["change"])):
        found, change = _shapes_in(run, name, alike), run["change"]
        values = {key: value_at(result["config"], key) for key in change}
        is_number = all(type(value) is int for value in values.values())
        is_cut = name in run["cut"]
        if is_number and (is_cut or len(found) != 1):
            raise _UnsettledError
        if is_number and len(found[0]) == len(shape):
            seen.append(({**numbers, **change}, found[0]))
        elif (is_cut or any(each != shape for each in found)) and own.keys().isdisjoint(values):
            own |= values  # what counts by itself is known where it is changed with others
    return seen, own


def _shapes_in(run: Mapping[str, Any], name: str, alike: Set[str]) -> list[Sequence[int]]:
    """Different shapes of the tensors in a run; of all of this name if none are given."""
    several = run.get("several", {}).get(name, {})
    if alike and several:
        return [list(s) for s in {tuple(several[each]) for each in alike if each in several}]
    found: list[Sequence[int]] = run["shapes"].get(name, [])
    return found
