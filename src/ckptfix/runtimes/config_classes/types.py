"""The model types that a runtime has a config class for, in any of the releases that were read.

`tools/record_model_types.py` wrote `types.json`: the types of transformers and those that the
runtime adds. From a type in none of them no config can be made, but by code of the checkpoint.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

import msgspec

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.config_classes.record import ConfigClassesRow, class_for
from ckptfix.runtimes.facts import FACTS

_FILE: Final = "types.json"
_CONFIG: Final = "config.json"
_CLASSES: Final = "architectures.json"
"""`tools/record_architecture_types.py` wrote it."""


class _Types(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    releases: tuple[str, ...]
    types: frozenset[str]


class _Classes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    transformers: str
    classes: dict[str, frozenset[str]]
    """Model class -> the types that it is built with."""


def has_own_code(values: Mapping[str, Any]) -> bool:
    """Whether config.json names code of the checkpoint for its config class."""
    named = values.get("auto_map")
    return isinstance(named, dict) and "AutoConfig" in named


def unknown_type(
    checkpoint: Checkpoint, runtime: str, rows: Sequence[ConfigClassesRow]
) -> tuple[str, str] | None:
    """The `model_type` of config.json that a runtime has no config class for, and where it is.

    Args:
        checkpoint: whose config.json may name code of its own.
        runtime: its name, as `vllm`.
        rows: the runtime's; the newest also has classes that known checkpoints bring along.
    """
    values, known = checkpoint.config_values or {}, _types().get(runtime)
    kind = values.get("model_type")
    if not isinstance(kind, str) or checkpoint.is_mistral or has_own_code(values) or known is None:
        return None
    newest = partial(class_for, rows, rows[-1].since) if rows else _none
    class_ = newest(kind)
    if class_ is None and kind not in known.types:
        return kind, _CONFIG
    for key, within in class_.record.named_types(values) if class_ is not None else ():
        if within not in known.types and newest(within) is None:
            return within, f"{key} of {_CONFIG}"
    return None


def _none(_: str) -> None:
    return None


def foreign_type(checkpoint: Checkpoint, version: str, rows: Sequence[ConfigClassesRow]) -> str:
    """The `model_type` of config.json if that is of other classes than the one it names.

    The class then reads a config that may lack what it needs. Empty where that is not known.

    Args:
        checkpoint: whose config.json may name code of its own.
        version: of the release.
        rows: of the runtime; of a type that the release's row has not, nothing is known.
    """
    values = checkpoint.config_values or {}
    kind, classes = values.get("model_type"), _classes()
    own = classes.get(next(iter(checkpoint.config.architectures), ""))
    if own is None or not isinstance(kind, str) or checkpoint.is_mistral or has_own_code(values):
        return ""
    is_recorded = class_for(rows, version, kind) is not None
    is_of_others = kind not in own and any(kind in types for types in classes.values())
    return kind if is_of_others and is_recorded else ""


@cache
def _classes() -> dict[str, frozenset[str]]:
    path = FACTS / "config_classes" / _CLASSES
    return msgspec.json.decode(path.read_bytes(), type=_Classes).classes


@cache
def _types() -> dict[str, _Types]:
    path = FACTS / "config_classes" / _FILE
    return msgspec.json.decode(path.read_bytes(), type=dict[str, _Types])
