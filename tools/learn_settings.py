"""Learn which values of config.json stop the model classes of a runtime release.

    tools/learn_settings.py RUNTIME VERSION --learned FOLDER --results FOLDER [ARCHITECTURE...]

Takes the configs that `learn_places.py` built the classes with (`--learned`, its `--results`),
changes each in one value at a time, builds the class again (`place_learner/settings.py`), and
writes `src/ckptfix/runtimes/RUNTIME/settings/VERSION.json`: what stops, less what the config class
of transformers is known to refuse. Architectures that were learned in another run stay in the file.
A run that was cut off goes on where it was. Exit code 0; 2 if the environment cannot be used.
"""

import copy
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import learn_again
from ckptfix.runtimes.config_classes import ConfigClass, class_for
from ckptfix.runtimes.learned.settings import FOLDER
from ckptfix.runtimes.registry import runtime_named
from place_learner.settings_values import VALUES

NOT_OF_THE_VALUE: Final = re.compile(
    r"does not support the context manager protocol|no module or parameter named|required when"
)
"""Errors of the learner's stand-ins, of the tensors that are stored, or of two values together."""

_NO_PARTS: Final = frozenset({"quantization_config", "compression_config"})
_NUMBERS: Final = ("float", "int")


def record(result: Mapping[str, Any], known: ConfigClass | None) -> dict[str, Any]:
    """One class, as the file has it: `SettingsRecord`."""
    of_windows = {
        "windowed": _by_kinds(_found(result, "windowed", known)),
        "windows": sorted(name for _, name in _found(result, "windows", known)),
    }
    return {
        "config": result["config_from"].replace("--", "/"),
        "model_type": result["config"]["model_type"],
        "rope": dict(_rope_types(result["config"], "")),
        **({"parts": parts} if (parts := dict(_parts(result["config"], ""))) else {}),
        "stops": _by_kinds(_found(result, "stops", known)),
        **{key: value for key, value in of_windows.items() if value},
    }


def _by_kinds(found: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for kind, name in found:
        kinds.setdefault(name, []).extend(_NUMBERS if kind == "number" else (kind,))
    stops: dict[str, list[str]] = {}
    for name, all_ in sorted(kinds.items()):
        stops.setdefault("|".join(sorted(all_)), []).append(name)
    return stops


def _found(
    result: Mapping[str, Any], outcome: str, known: ConfigClass | None
) -> Iterator[tuple[str, str]]:
    """(Kind, path) of what had an outcome that the value itself is the cause of."""
    for kind, names in result.get(outcome, {}).items():
        for name in names:
            if NOT_OF_THE_VALUE.search(result["why"].get(f"{kind} {name}", "")):
                continue
            if known is None or not _is_refused(result["config"], name, kind, known):
                yield kind, name


def _rope_types(values: Mapping[str, Any], start: str) -> Iterator[tuple[str, str]]:
    """Path -> type of every object that has a type of rotary embedding."""
    for key, value in values.items():
        if not isinstance(value, dict):
            continue
        type_ = value.get("rope_type", value.get("type"))
        if key.startswith("rope_") and isinstance(type_, str):
            yield f"{start}{key}", type_
        yield from _rope_types(value, f"{start}{key}.")


def _parts(values: Mapping[str, Any], start: str) -> Iterator[tuple[str, str]]:
    """Path -> type of every config within a config."""
    for key, value in values.items():
        if isinstance(value, dict) and key not in _NO_PARTS:
            if isinstance(type_ := value.get("model_type"), str):
                yield f"{start}{key}", type_
            yield from _parts(value, f"{start}{key}.")


def _is_refused(config: Mapping[str, Any], name: str, kind: str, known: ConfigClass) -> bool:
    if kind == "missing":
        return False
    path = tuple(name.split("."))
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = VALUES[kind]
    return any(refused == path for refused, _ in known.refusals(changed))


def records(runtime: str, version: str, results: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Architecture -> what stops its class, of all that were built."""
    rows = runtime_named(runtime).config_classes
    for result in learn_again.built(results):
        known = class_for(rows, version, result["config"].get("model_type"))
        yield result["architecture"], record(result, known)


if __name__ == "__main__":
    sys.exit(learn_again.run(__doc__ or "", FOLDER, records))
