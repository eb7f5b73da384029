"""How many blocks a class builds in its towers, by values of config.json.

A config that the learner built a class with gets one and three blocks more in each of its parts.
A list of stored names that grows by as many, and is as long as the number says, follows it.
"""

import re
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from place_learner import forks
from place_learner.masks import mask
from place_learner.settings import build_plain, completed
from place_learner.settings_values import Path_, values_in
from place_learner.size_loads import best, left_by
from place_learner.variants import LAYER_COUNT, Config, with_values

_LANGUAGE: Final = frozenset({"text_config", "llm_config", "language_config", "decoder"})
"""Layers of a language model have kinds, and are judged by what is known of it."""
_WITHIN: Final = ("thinker_config",)
"""Its own numbers are those of its language model."""
_MORE: Final = (1, 3)
_NUMBERED: Final = re.compile(r"([^\d]*?)\.(\d+)\.(.+)")

Items = Mapping[int, frozenset[str]]
"""Number of an item -> what is stored below it."""


def learn(runtime: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """The lists whose length follows from a number of the config.

    Args:
        runtime: see `learning`.
        known: result of the learner for the architecture.

    Returns:
        `lists`: stored name of a list -> `path` of its number, and `same`: whether its items have
        the same names; `errors`: path -> why nothing is known of it.
    """
    architecture = known["architecture"]
    out = {key: known[key] for key in ("architecture", "source", "config_from")}
    time.sleep = lambda _: None  # releases wait before they read a config again
    config = forks.apart(partial(completed, runtime, architecture, known["config"]))
    base = forks.apart(partial(_stored, runtime, architecture, config))
    lists: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for path, number in _numbers(config):
        try:
            more = {
                n: forks.apart(
                    partial(_stored, runtime, architecture, with_values(config, {path: number + n}))
                )
                for n in _MORE
            }
        except RuntimeError as error:
            errors[".".join(path)] = str(error)
            continue
        if any(set(found["left"]) > set(base["left"]) for found in more.values()):
            errors[".".join(path)] = "does not fill what it builds then"
            continue
        grown = {0: base, **more}
        found = {n: _lists(each["names"]) for n, each in grown.items()}
        for name, items in found[0].items():
            if all(_follows(found[n].get(name, {}), number + n) for n in grown):
                same = len({*items.values(), *found[_MORE[-1]][name].values()}) == 1
                lists[name] = {"path": ".".join(path), "same": same}
    return {**out, "status": "built", "config": config, "lists": lists, "errors": errors}


def _numbers(config: Config) -> Iterator[tuple[Path_, int]]:
    for path, value in values_in(config, ()):
        of_part = len(path) > 1 and _LANGUAGE.isdisjoint(path) and path[:-1] != _WITHIN
        if of_part and type(value) is int and value > 0 and LAYER_COUNT.search(path[-1]):
            yield path, value


def _stored(runtime: Any, architecture: str, config: Config) -> dict[str, Any]:
    """Names of the tensors that the class takes, and the parameters that none of them fills."""
    built = build_plain(runtime, config, architecture)
    loads = [load for _, (load, _) in best(runtime, architecture, config, built)]
    if not loads:
        raise RuntimeError("does not load in one pass")
    left = min((left_by(load) for load in loads), key=len)
    names = {name for load in loads if left_by(load) == left for name in load["lands"]}
    return {"names": sorted(names), "left": sorted(map(mask, left))}


def _lists(names: list[str]) -> dict[str, Items]:
    """Name of a list that is in no other -> its items."""
    found: dict[str, dict[int, set[str]]] = {}
    for name in names:
        if at := _NUMBERED.fullmatch(name):
            found.setdefault(at[1], {}).setdefault(int(at[2]), set()).add(at[3])
    return {name: {n: frozenset(s) for n, s in i.items()} for name, i in found.items()}


def _follows(items: Items, number: int) -> bool:
    return sorted(items) == list(range(number))
