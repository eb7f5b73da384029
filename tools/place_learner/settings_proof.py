"""Whether a value stops a class for its own sake, or only next to other values of the config.

A config that the learner built a class with has values that others of the architecture do not have,
and lacks what they have. What is missing or null in a published config must not be called a fault
because of that, so each such finding is tried again among other values: a switch is turned, a word
is taken away, what the class asks for next is made up.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

from place_learner import demands
from place_learner.guess import guess
from place_learner.settings_values import ABSENT, Path_
from place_learner.variants import Config

_DOUBTED: Final = frozenset({"missing", "null"})
"""Kinds that published configs have too; another type in a place is a fault anywhere."""
_MADE_UP: Final = 4
"""Attributes that are made up for one finding."""


class Doubts:
    """What stops a class that was built with a config."""

    def __init__(self, config: Config, read: set[str], error: Callable[[Config], str]) -> None:
        """Nothing is built before a finding is doubted.

        Args:
            config: that the class was built with.
            read: keys that the runtime reads.
            error: why the class cannot be built with a config; empty where it can.
        """
        self._config, self._error = config, error
        self._others = partial(_others, config, read)

    def told_apart(self, outcome: str, path: Path_, kind: str, changed: Config) -> str:
        """An outcome, or where it is a stop, next to what it is one.

        Args:
            outcome: of building the class with a changed config.
            path: of the value.
            kind: of the value.
            changed: the config with it.
        """
        if outcome == "stops" and self.depends(path, kind, changed):
            outcome = "depends"
        if outcome == "stops" and kind == "null" and self.needs_window(path, changed):
            outcome = "windows"
        if outcome == "stops" and self.is_windowed(path, changed):
            outcome = "windowed"
        return outcome

    def depends(self, path: Path_, kind: str, changed: Config) -> bool:
        """Whether a value stops the class only next to others.

        Args:
            path: of the value.
            kind: of the value.
            changed: the config with it.
        """
        if kind == "list":
            several = _per_layer(self._config, path)
            return several is not None and not self._error(several)
        if kind not in _DOUBTED or not self._error(changed):
            return False
        return self._is_filled(path, changed) or any(
            not self._error(put(other, path, value_at(changed, path)))
            for other in self._built(path)
        )

    def needs_window(self, path: Path_, changed: Config) -> bool:
        """Whether a window is null, and the class can be built if no layer has one."""
        within, key = path[:-1], path[-1]
        layers = value_at(self._config, (*within, "num_hidden_layers"))
        if key != "sliding_window" or not isinstance(layers, int):
            return False  # layers of other kinds need other values
        without = put(changed, (*within, "layer_types"), ["full_attention"] * layers)
        return not self._error(without)

    def is_windowed(self, path: Path_, changed: Config) -> bool:
        """Whether the class does not read a value where `sliding_window` is null."""
        window = (*path[:-1], "sliding_window")
        if path == window or value_at(changed, window) in (None, ABSENT):
            return False
        return not self._error(put(changed, window, None))

    def _built(self, path: Path_) -> Iterator[Config]:
        return (other for at, other in self._builds if at != path)

    @cached_property
    def _builds(self) -> list[tuple[Path_, Config]]:
        return [(at, other) for at, other in self._others() if not self._error(other)]

    def _is_filled(self, path: Path_, changed: Config) -> bool:
        """Whether the class is built once other attributes that it misses are made up."""
        for _ in range(_MADE_UP):
            error = self._error(changed)
            if not error:
                return True
            more = _made_up(changed, path, error)
            if more is None:
                return False
            changed = more
        return False


def _others(config: Config, read: set[str], start: Path_ = ()) -> Iterator[tuple[Path_, Config]]:
    """(Path of the value that differs, config): switches turned and words taken away."""
    for key, value in value_at(config, start).items():
        path = (*start, key)
        if isinstance(value, dict) and key.endswith("_config"):
            yield from _others(config, read, path)
        elif key in read and isinstance(value, bool):
            yield path, put(config, path, not value)
        elif key in read and isinstance(value, str) and key != "model_type":
            yield path, put(config, path, ABSENT)


def _made_up(config: Config, path: Path_, error: str) -> Config | None:
    """The config with the attribute that an error misses; None if that is the changed one."""
    found = demands.MISSING.search(error)
    if found is None or found[2] == path[-1]:
        return None
    missed = (*path[:-1], found[2])
    if value_at(config, missed) is not ABSENT:
        return None
    value = guess(found[2])
    return put(config, missed, _NUMBER if value is None else value)


_NUMBER: Final = 2
"""For an attribute of which nothing is known: most are numbers."""


def _per_layer(config: Config, path: Path_) -> Config | None:
    """The config with a number given for every layer: some classes take one or several."""
    value = value_at(config, path)
    layers = value_at(config, (*path[:-1], "num_hidden_layers"))
    if isinstance(value, bool) or not isinstance(value, int) or not isinstance(layers, int):
        return None
    return put(config, path, [value] * layers)


def value_at(values: Any, path: Sequence[str]) -> Any:
    """The value at a path; `ABSENT` where there is none."""
    for key in path:
        values = values.get(key, ABSENT) if isinstance(values, dict) else ABSENT
    return values


def put(config: Mapping[str, Any], path: Path_, value: Any) -> Config:
    """A copy of a config with another value at a path; `ABSENT` takes it away."""
    changed = copy.deepcopy(dict(config))
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is ABSENT:
        holder.pop(path[-1], None)
    else:
        holder[path[-1]] = copy.deepcopy(value)
    return changed
