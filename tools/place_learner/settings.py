"""Which values of config.json a class cannot be built with: each is taken away or replaced.

A config that the learner built a class with is changed in one value at a time; the class is built
again and gets the same tensors. Values that the runtime does not read are left alone.
"""

import copy
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from place_learner import configs, forks, learning, repair, spellings
from place_learner.settings_proof import Doubts, put, value_at
from place_learner.settings_values import ABSENT, VALUES, Path_, tells, values_in
from place_learner.variants import Config
from runtime_probe import trace
from runtime_probe.built import Built
from runtime_probe.texts import short
from runtime_probe.trace import Tensors

_LACKING: Final = "Missing required keys"
"""Of transformers 5, about rotary settings."""
_READ_AS: Final = {"rope_scaling": "rope_parameters"}
"""Key -> the attribute that config classes of transformers 5 make of it."""
_OUTCOMES: Final = ("stops", "differs", "depends", "windows", "windowed")


def learn(runtime: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a class cannot be built with.

    Args:
        runtime: see `learning`.
        known: result of the learner for the architecture.

    Returns:
        `stops`: kind -> paths, where the class or its loader raises; `differs`: kind -> paths,
        where other parameters are built or filled; `depends`: kind -> paths, where it stops
        only next to other values; `windows`: kind -> paths, where it stops if a layer has a sliding
        window; `windowed`: kind -> paths, where it stops unless `sliding_window` is null; `why`:
        kind and path -> error.
    """
    architecture = known["architecture"]
    out = {key: known[key] for key in ("architecture", "source", "config_from")}
    time.sleep = lambda _: None  # releases wait before they read a config again
    config = forks.apart(partial(completed, runtime, architecture, known["config"]))
    out["config"] = config
    with watched() as read:
        built = build_plain(runtime, config, architecture)
    run, stored = learning.ask_and_load(
        runtime, architecture, built, copy.deepcopy(config), repair.Notes()
    )
    best = spellings.best_spelling(run)
    if not best:
        return {**out, "status": "failed", "error": "does not load in one pass"}
    tensors = stored[best]
    base = _signature(build_plain(runtime, config, architecture), tensors)
    found: dict[str, Any] = {key: {} for key in (*_OUTCOMES, "why")}
    doubts = Doubts(config, read, lambda tried: _error(runtime, architecture, tried))
    for path, kind, changed in _changed(config, read):
        name = ".".join(path)
        if why := _refused_field(runtime, changed):
            found["stops"].setdefault(kind, []).append(name)
            found["why"][f"{kind} {name}"] = why
            continue
        outcome, why = forks.apart(
            partial(_outcome, runtime, architecture, changed, path, tensors, base)
        )
        if outcome := doubts.told_apart(outcome, path, kind, changed):
            found[outcome].setdefault(kind, []).append(name)
            found["why"][f"{kind} {name}"] = why
    return {**out, "status": "built", "read": sorted(read), **found}


def _outcome(
    runtime: Any,
    architecture: str,
    changed: Config,
    path: Path_,
    tensors: Tensors,
    base: Mapping[str, Any],
) -> tuple[str, str]:
    """`stops`, `differs` or nothing, and the error."""
    is_missing = value_at(changed, path) is ABSENT
    try:
        found = _signature(build_plain(runtime, changed, architecture), tensors)
    except Exception as error:
        filled_in = is_missing and _filled_in(runtime, changed, path)
        return ("differs" if filled_in else "stops"), short(error, 200)
    if found["error"] and found["shapes"] == base["shapes"]:
        return "stops", found["error"]
    return ("differs", found["error"]) if found != base else ("", "")


def completed(runtime: Any, architecture: str, config: Config) -> Config:
    """The config with the values that the learner has to guess; changes config classes.

    Raises:
        ValueError: a guess has no place in the config.
    """
    config, notes = copy.deepcopy(config), repair.Notes()
    repair.build(runtime, config, architecture, runtime.config_extra, notes)
    read = loaded(runtime, config) if notes.guessed else None
    for key in notes.guessed:
        owner, _, name = key.rpartition(".")
        holders = list(_holders(read, config, owner))
        if not holders:
            raise ValueError(f"no place for {key}")
        for config_class, holder in holders:
            holder.setdefault(name, getattr(config_class, name))
    return config


def _holders(loaded: Any, values: Any, name: str) -> Iterator[tuple[type, Config]]:
    """(Config class of that name, the part of config.json that it reads)."""
    from transformers import PretrainedConfig

    if not isinstance(values, dict):
        return
    if type(loaded).__name__ == name:
        yield type(loaded), values
    for key, part in vars(loaded).items():
        if isinstance(part, PretrainedConfig):
            yield from _holders(part, values.get(key), name)


def build_plain(runtime: Any, config: Config, architecture: str) -> Built:
    """What the runtime builds with a config as it is; that stays as it was."""
    config = copy.deepcopy(config)
    folder = configs.write(config, architecture, runtime.config_extra)
    return runtime.build(folder, config, architecture)


def _error(runtime: Any, architecture: str, config: Config) -> str:
    """Why a class cannot be built with a config; empty where it can."""
    try:
        return str(forks.apart(partial(_tried, runtime, config, architecture)))
    except RuntimeError as died:
        return str(died) or "died"


def _tried(runtime: Any, config: Config, architecture: str) -> str:
    try:
        build_plain(runtime, config, architecture)
    except Exception as error:
        return short(error, 200) or type(error).__name__
    return ""


def _signature(built: Built, tensors: Tensors) -> dict[str, Any]:
    """What was built and filled, and what the loader raised."""
    shapes = {name: tuple(p.shape) for name, p in built.model.named_parameters()}
    loaded = trace.load(built, tensors)
    found = {key: loaded[key] for key in ("unused", "never_written", "lands")}
    return {"shapes": shapes, "error": loaded["errors"].get("*", ""), **found}


def _refused_field(runtime: Any, config: Config) -> str:
    """Why a config class refuses the type of one field, whatever the others hold; or empty.

    Nothing is built for such a value: that takes most of the time of a class.
    """
    from huggingface_hub.errors import StrictDataclassFieldValidationError

    try:
        loaded(runtime, config)
    except StrictDataclassFieldValidationError as error:
        return short(error, 200)
    except Exception:  # of several values, or in ways that a build has to show
        return ""
    return ""


def _filled_in(runtime: Any, config: Config, path: Path_) -> bool:
    """Whether the config class has a value for a key that is missing: that one stops it, then."""
    try:
        value = loaded(runtime, config)
    except Exception as error:  # what it fills in does not go with the rest, or it has nothing
        return not (_LACKING in str(error) and repr(path[-1]) in str(error).rpartition(":")[2])
    for key in path:
        value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
    return value not in (None, {})


def loaded(runtime: Any, config: Config) -> Any:
    """The config as the class reads it that the runtime has for its type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    own, name = runtime.config_registry(), config.get("model_type")
    return (own[name] if name in own else CONFIG_MAPPING[name]).from_dict(copy.deepcopy(config))


def _changed(config: Config, read: set[str]) -> Iterator[tuple[Path_, str, Config]]:
    for path, value in values_in(config, ()):
        if read.isdisjoint(_READ_AS.get(key, key) for key in path):
            continue
        for kind, tried in VALUES.items():
            if (kind != "missing" and tried == value) or not tells(kind, value):
                continue
            yield path, kind, put(config, path, tried)


@contextmanager
def watched() -> Iterator[set[str]]:
    """Names of attributes that code of the runtime, of a model or of a config class reads."""
    from transformers import PretrainedConfig

    names: set[str] = set()
    plain = PretrainedConfig.__getattribute__

    def watch(self: Any, name: str) -> Any:
        file = sys._getframe(1).f_code.co_filename
        if "configuration_utils" not in file and "huggingface_hub" not in file:
            names.add(name)
        return plain(self, name)

    PretrainedConfig.__getattribute__ = watch
    try:
        yield names
    finally:
        PretrainedConfig.__getattribute__ = plain
