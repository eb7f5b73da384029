"""The recorded classes, by model_type."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.model_config import (
    DRAFT_KEYS,
    NESTED_CONFIGS,
    THINKER,
    DraftLayers,
    ModelConfig,
)
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.kinds import kind_of
from ckptfix.runtimes.common.rows import known_row
from ckptfix.runtimes.config_classes.class_record import ClassRecord
from ckptfix.runtimes.config_classes.every_class import refused_anywhere
from ckptfix.runtimes.config_classes.flat import flattened
from ckptfix.runtimes.config_classes.layer_lists import wrong_list
from ckptfix.runtimes.config_classes.recorded_file import recorded_file
from ckptfix.runtimes.config_classes.rope_settings import refused_rope

_LANGUAGE: Final = frozenset({THINKER, *(key for key, _ in NESTED_CONFIGS)})
_LAYERS: Final = "num_hidden_layers"
_DRAFTS: Final = "num_nextn_predict_layers"


class ConfigClassesRow(Struct, frozen=True):
    """With which config classes some releases of a runtime read config.json."""

    since: str
    transformers: str
    """Release of transformers whose classes they are."""
    own: str
    """Runtime and release whose own classes are read first."""
    written: str = ""
    """File that is read first, of classes that no tool can record alone: those that checkpoints
    bring along, which are not run, and those whose values stop a model class."""


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
        """(Path of a value that it refuses, its kind or what it is), in nested configs too."""
        for class_ in (self, *self._around(values)):
            yield from class_._refused_values(values, path)  # noqa: SLF001 - of the same class
        for key in self.record.layer_lists:
            known = recorded_file(_library(self.row)).layer_kinds.get(key, ())
            if what := wrong_list(values.get(key), known, self._lengths(values)):
                yield (*path, key), what
        yield from (((*path, key), what) for key, what in refused_anywhere(values))
        for key, what in self.record.untyped(values):
            yield (*path, key, "model_type"), what
        for key, inner in self._nested(values):
            yield from inner.refusals(values[key], (*path, key))

    def _lengths(self, values: Mapping[str, Any]) -> tuple[int, ...]:
        """How long a list of the kinds of all layers may be; empty where that is not known."""
        number, drafts = self.with_defaults(values).get(_LAYERS), values.get(_DRAFTS)
        if not isinstance(number, int):
            return ()
        if self.record.lists_drafts and isinstance(drafts, int):
            return number, number + drafts
        return (number,)

    def _nested(self, values: Mapping[str, Any]) -> Iterator[tuple[str, "ConfigClass"]]:
        for key in self.record.nested:
            inner = values.get(key)
            if isinstance(inner, dict):
                found = _class_of(self.row, self.record.type_of(key, inner))
                if found is not None:
                    yield key, found

    def _refused_values(self, values: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
        """Of its own keys, and of rotary settings."""
        for key, value in values.items():
            kind = kind_of(value)
            if kind in self._refused.get(key, ()):
                yield (*path, key), kind
        if self.record.checks_rope:
            rope = recorded_file(_library(self.row)).rope
            found = refused_rope(values, rope, self._refused)
            yield from (((*path, *place), what) for place, what in found)

    def _around(self, values: Mapping[str, Any]) -> Iterator["ConfigClass"]:
        """Classes of configs within it that read the values around them, as these are missing."""
        inner = (self.within(key) for key in self.record.from_around if values.get(key) is None)
        yield from filter(None, inner)

    def within(self, key: str) -> "ConfigClass | None":
        """The class that reads a config within it by default."""
        return _class_of(self.row, self.record.nested.get(key))

    def completed(
        self, values: Mapping[str, Any], config: ModelConfig, *, apart: bool = False
    ) -> ModelConfig:
        """The language model's config, with the numbers that its class has by default.

        Args:
            values: config.json.
            config: what was read of it.
            apart: values are all that the class reads, not also what is around them.
        """
        towers = dict(self._towers(values))
        for inner, part in self._languages(values):
            config = inner.completed(part, config, apart=part is not values)
            own = {k: n for k, n in self.record.numbers.items() if k not in values}
            return replace(config, values={**own, **config.values, **towers})
        given = values if apart else config.values
        known = {**config.values, **self.with_defaults(given)}
        counted = self.record.aliases.get(_LAYERS, _LAYERS)
        number = None if _LAYERS in given else known.get(counted)
        draft = next((key for key in DRAFT_KEYS if key not in given and known.get(key)), "")
        return replace(
            config,
            values={**known, **towers},
            num_hidden_layers=config.num_hidden_layers if number is None else number,
            draft_layers=config.draft_layers or (DraftLayers(known[draft], "") if draft else None),
        )

    def with_defaults(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with the numbers that are missing, and those that follow from others."""
        own, aliases = self.record.by_own_names(values), self.record.aliases
        set_ = {key: own[aliases.get(key, key)] for key in values}
        known = {key: n for key, n in self.record.numbers.items() if key not in own.keys() | set_}
        known |= set_
        return known | self._followed(known)

    def _followed(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """What follows from other values, where it is missing or null."""
        return {
            key: known[other]
            for key, other in self.record.follows.items()
            if known.get(key) is None and other in known
        }

    def _languages(
        self, values: Mapping[str, Any]
    ) -> Iterator[tuple["ConfigClass", Mapping[str, Any]]]:
        """(Class, what it reads) of a language model's config: these values, or what is within."""
        for key in self.record.nested:
            part = self._part(key, values)
            if key in _LANGUAGE and part is not None:
                own = {} if part is values else part
                found = _class_of(self.row, self.record.type_of(key, own))
                if found is not None:
                    yield found, part

    def _towers(self, values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Key -> what the class within reads there; it has its defaults where that is null."""
        for key in self.record.nested:
            given = self._part(key, values)
            if key in _LANGUAGE or given is None:
                continue
            found = _class_of(self.row, self.record.type_of(key, given))
            if found is not None:
                yield key, found.with_defaults(given)

    def _part(self, key: str, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the class of a config within reads; None where there is none."""
        part = values.get(key)
        if part is None:
            if key in self.record.left_null:
                return None
            return values if key in self.record.from_around else {}
        return part if isinstance(part, dict) else None

    def flat(self, values: Mapping[str, Any], start: str = "") -> dict[str, Any]:
        """As `flattened`, keys under their own names, with the numbers that their class fills in.

        Args:
            values: the config.
            start: its path, with a dot at the end.
        """
        own = self.record.by_own_names(values)
        nested = dict(self._parts(values))
        absent = {k: number for k, number in self.record.numbers.items() if k not in own}
        plain = {**absent, **{key: value for key, value in own.items() if key not in nested}}
        plain |= self._followed(plain)
        plain |= {key: False for key in self.record.switches() if plain.get(key, "") is None}
        out = dict(flattened(plain, start))
        for key, (class_, part) in nested.items():
            out |= class_.flat(part, f"{start}{key}.")
        return out

    def _parts(
        self, values: Mapping[str, Any]
    ) -> Iterator[tuple[str, tuple["ConfigClass", Mapping[str, Any]]]]:
        """Key of each config within -> its class, and what that reads."""
        for key in self.record.nested:
            part = self._part(key, values)
            own = {} if part is values else part
            found = None if own is None else _class_of(self.row, self.record.type_of(key, own))
            if found is not None and part is not None and found is not self:
                yield key, (found, part)


def values_by_path(values: Mapping[str, Any], known: ConfigClass | None) -> Mapping[str, Any]:
    """Path -> value, with the numbers that the config class has by default.

    Args:
        values: config.json.
        known: the class that reads it, if that is recorded.
    """
    return known.flat(values) if known else dict(flattened(values))


def needs_model_type(rows: Sequence[ConfigClassesRow], version: str) -> bool:
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


def library_nested(
    rows: Sequence[ConfigClassesRow], version: str, model_type: str
) -> Collection[str] | None:
    """Keys of the configs that a class of transformers reads; None if it is not known.

    For releases before the first row only for classes that have none, which never had any.

    Args:
        rows: of the runtime, oldest first.
        version: its release.
        model_type: of config.json.
    """
    row = known_row(version, rows)
    newest = row or (rows[-1] if rows else None)
    if newest is None or any(
        model_type in recorded_file(file).classes for file in (newest.written, newest.own) if file
    ):
        return None
    known = _class_of(newest, model_type)
    if known is None or (row is None and known.record.nested):
        return None
    return known.record.nested.keys()


def _class_of(row: ConfigClassesRow, name: object) -> ConfigClass | None:
    if not isinstance(name, str):
        return None
    key = id(row), name  # rows live as long as the program
    if key not in _made:
        known = _record_of(row, name)
        _made[key] = ConfigClass(known, row) if known else None
    return _made[key]


def _record_of(row: ConfigClassesRow, name: str) -> ClassRecord | None:
    files = (*filter(None, (row.written, row.own)), _library(row))
    recorded = next(
        (known for file in files if (known := recorded_file(file).classes.get(name))), None
    )
    return msgspec.json.decode(recorded, type=ClassRecord | None) if recorded else None


_made: Final[dict[tuple[int, str], ConfigClass | None]] = {}


def _library(row: ConfigClassesRow) -> str:
    return f"transformers-{row.transformers}"
