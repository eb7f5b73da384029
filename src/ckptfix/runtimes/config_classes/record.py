"""The recorded classes, by model_type."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ckptfix.checkpoint.model_config import DRAFT_KEYS, DraftLayers, ModelConfig
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.rows import known_row
from ckptfix.runtimes.facts import FACTS

_KINDS: Final = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "string"),
    (list, "list"),
    (dict, "object"),
)


class ClassRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class, as the file has it."""

    aliases: dict[str, str] = {}
    """Another name of a key -> the key."""
    nested: dict[str, str] = {}
    """Key of a config within it -> model_type of its class; empty where the config names it."""
    numbers: dict[str, int] = {}
    """Key -> the whole number that it has by default."""
    refuses: dict[str, tuple[str, ...]] = {}
    """Kinds of values, joined by `|` -> keys that the class refuses them for."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    transformers: str
    classes: dict[str, msgspec.Raw]
    """Read where a class is asked for: there are hundreds."""


_QUANTIZATION: Final = "quantization_config"


class ConfigClassesRow(Struct, frozen=True):
    """With which config classes some releases of a runtime read config.json."""

    since: str
    transformers: str
    """Release of transformers whose classes they are."""
    own: frozenset[str] = frozenset()
    """model_type of classes that the runtime has itself, which are not recorded."""
    same: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """model_type -> that of the class which reads it."""


class ConfigClass(Struct, frozen=True, eq=False, dict=True):
    """A class and those of the configs within it; there is one object per class and row."""

    record: ClassRecord
    row: ConfigClassesRow

    @cached_property
    def _refused(self) -> Mapping[str, frozenset[str]]:
        return {
            key: frozenset(kinds.split("|"))
            for kinds, keys in self.record.refuses.items()
            for key in keys
        }

    def refusals(self, values: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, str]]:
        """(Path of a value that it refuses, kind of the value), those in nested configs too."""
        for key, value in values.items():
            kind = _kind(value)
            if kind in self._refused.get(key, ()):
                yield (*path, key), kind
        for key, inner in self._nested(values):
            yield from inner.refusals(values[key], (*path, key))

    def _nested(self, values: Mapping[str, Any]) -> Iterator[tuple[str, "ConfigClass"]]:
        for key, model_type in self.record.nested.items():
            inner = values.get(key)
            if isinstance(inner, dict):
                found = _class_of(self.row, inner.get("model_type") or model_type)
                if found is not None:
                    yield key, found

    def completed(self, values: Mapping[str, Any], config: ModelConfig) -> ModelConfig:
        """The language model's config, with the numbers that its class has by default.

        Args:
            values: config.json.
            config: what was read of it.
        """
        for key, inner in self._nested(values):
            if key in ("text_config", "llm_config"):
                return inner.completed(values[key], config)
        set_ = config.values.keys() | {self.record.aliases.get(k, k) for k in config.values}
        absent = {key: n for key, n in self.record.numbers.items() if key not in set_}
        draft = next((key for key in DRAFT_KEYS if absent.get(key)), "")
        return replace(
            config,
            values={**absent, **config.values},
            num_hidden_layers=absent.get("num_hidden_layers", config.num_hidden_layers),
            draft_layers=config.draft_layers or (DraftLayers(absent[draft], "") if draft else None),
        )

    def flat(self, values: Mapping[str, Any], start: str = "") -> dict[str, Any]:
        """As `flattened`, keys under their own names, with the numbers that are there by default.

        Args:
            values: the config.
            start: its path, with a dot at the end.
        """
        own = {self.record.aliases.get(key, key): value for key, value in values.items()}
        nested = dict(self._nested(values))
        absent = {k: number for k, number in self.record.numbers.items() if k not in own}
        plain = {**absent, **{key: value for key, value in own.items() if key not in nested}}
        out = dict(flattened(plain, start))
        for key, class_ in nested.items():
            out |= class_.flat(values[key], f"{start}{key}.")
        return out


def flattened(values: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Path, joined by dots, -> value of everything in a config that is not an object.

    Without its quantization, which may name every module.
    """
    for key, value in values.items():
        if not isinstance(value, dict):
            yield f"{start}{key}", value
        elif key != _QUANTIZATION:
            yield from flattened(value, f"{start}{key}.")


def requires_model_type(rows: Sequence[ConfigClassesRow], version: str) -> bool:
    """True for a release that stops where config.json does not name the class that reads it."""
    return known_row(version, rows) is not None


def class_for(
    rows: Sequence[ConfigClassesRow], version: str, model_type: object
) -> ConfigClass | None:
    """The class that reads config.json; None if it is not recorded.

    Args:
        rows: of the runtime.
        version: its release.
        model_type: of config.json.
    """
    row = known_row(version, rows)
    return _class_of(row, model_type) if row is not None else None


def _class_of(row: ConfigClassesRow, model_type: object) -> ConfigClass | None:
    if not isinstance(model_type, str) or model_type in row.own:
        return None
    key = id(row), row.same.get(model_type, model_type)  # rows live as long as the program
    if key not in _made:
        recorded = _file(row.transformers).classes.get(key[1])
        known = msgspec.json.decode(recorded, type=ClassRecord) if recorded else None
        _made[key] = ConfigClass(known, row) if known else None
    return _made[key]


_made: Final[dict[tuple[int, str], ConfigClass | None]] = {}


@cache
def _file(transformers: str) -> _File:
    path = FACTS / "config_classes" / f"transformers-{transformers}.json"
    return msgspec.json.decode(path.read_bytes(), type=_File)


def _kind(value: object) -> str:
    return next((kind for type_, kind in _KINDS if isinstance(value, type_)), "null")
