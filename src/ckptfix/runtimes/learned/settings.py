"""Values of config.json with which a class cannot be built, as they were tried on it.

The files `<runtime>/settings/<version>.json` are written by `tools/learn_settings.py`: it changes a
config, one value at a time, and builds the class. A config class of transformers refuses more
(`runtimes/config_classes/`); what it refuses is left out of the files.
"""

from collections.abc import Iterator, Mapping, Set
from functools import cache, cached_property, reduce
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.kinds import ABSENT, kind_of
from ckptfix.runtimes.config_classes import ConfigClass, always_reads_as
from ckptfix.runtimes.draft_classes import is_draft
from ckptfix.runtimes.learned.release_file import release_file
from ckptfix.runtimes.learned.store import of_release

FOLDER: Final = "settings"
_CAUSAL: Final = "ForCausalLM"
_ROPE: Final = frozenset({"rope_theta", "rope_scaling", "rope_parameters"})
"""Spellings of one setting."""
_OF_PARTS: Final = ("_text", "_vision")
"""Ends of types that configs without them are read as, where a wrapper has a class for its part."""
_ROPE_TYPE: Final = ("rope_type", "type")


class SettingsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class, as the file has it."""

    config: str
    """The repository or the config class whose values were changed."""
    model_type: str
    """Of that config: a config class of another type has other defaults."""
    rope: dict[str, str]
    """Path of rotary settings -> their type: another type reads other keys of them."""
    stops: dict[str, tuple[str, ...]]
    """Kinds of values, joined by `|` -> paths of keys."""
    parts: dict[str, str] = {}
    """Path of every config within it -> its type: what a class reads there depends on that."""
    windows: tuple[str, ...] = ()
    """Paths of keys whose null stops it only if a layer has a sliding window."""
    windowed: dict[str, tuple[str, ...]] = {}
    """As `stops`, of keys that are not read where `sliding_window` next to them is null."""


class Settings(Struct, frozen=True, eq=False, dict=True):
    """What stops a class; there is one object per release and architecture."""

    record: SettingsRecord

    @cached_property
    def _kinds_of(self) -> Mapping[tuple[str, ...], frozenset[str]]:
        return _by_path(self.record.stops)

    @cached_property
    def _windowed(self) -> Mapping[tuple[str, ...], frozenset[str]]:
        return _by_path(self.record.windowed)

    def stopped_by(
        self,
        values: Mapping[str, Any],
        known: ConfigClass | None,
        elsewhere: Set[Path] = frozenset(),
    ) -> Iterator[tuple[Path, str]]:
        """(Path, kind of the value there) of what it cannot be built with.

        Args:
            values: config.json, or the part of it that the class is built with.
            known: the class that reads it, if that is recorded.
            elsewhere: paths of configs within it that another class is known to be built with.
        """
        others = self.other_parts(values, known)
        aliases = known.record.aliases if known else {}
        for tried, kinds in self._kinds_of.items():
            for path in () if _is_within(tried, elsewhere) else _spellings(tried):
                holder = find_at(values, path[:-1])
                if not isinstance(holder, dict) or self._is_other_rope(tried, holder):
                    continue
                if path != tried and path[-1] == _ROPE_TYPE[1] and _ROPE_TYPE[0] in holder:
                    continue  # which counts
                value = holder.get(path[-1], ABSENT)
                kind = kind_of(value)
                if kind not in kinds:
                    continue
                if kind == "missing" and (path != tried or _is_within(tried, others)):
                    continue
                if not _is_spelled(path[-1], value, holder, aliases):
                    yield path, kind
        for of_window in self._by_window(values):
            if not _is_within(of_window[0], elsewhere):
                yield of_window

    def other_parts(
        self, values: Mapping[str, Any], known: ConfigClass | None
    ) -> frozenset[tuple[str, ...]]:
        """Paths of the configs within it whose type is not the one that was tried.

        Args:
            values: config.json.
            known: the class that reads it, if that is recorded.
        """
        types = ((_split(name), type_) for name, type_ in self.record.parts.items())
        return frozenset(
            path
            for path, type_ in types
            if isinstance(given := find_at(values, (*path, "model_type")), str)
            and given not in (type_, *(type_.removesuffix(of) for of in _OF_PARTS))
            and not always_reads_as(known, path, type_)
        )

    def _by_window(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        for path in map(_split, self.record.windows):
            holder = find_at(values, path[:-1])
            if (
                isinstance(holder, dict)
                and holder.get(path[-1], ABSENT) is None
                and _slides(holder)
            ):
                yield path, "null"
        for path, kinds in self._windowed.items():
            holder = find_at(values, path[:-1])
            if not isinstance(holder, dict) or holder.get("sliding_window", ABSENT) is None:
                continue
            if (kind := kind_of(holder.get(path[-1], ABSENT))) in kinds:
                yield path, kind

    def _is_other_rope(self, path: tuple[str, ...], holder: Mapping[str, Any]) -> bool:
        tried = self.record.rope.get(".".join(path[:-1]))
        given = [holder[key] for key in _ROPE_TYPE if key in holder]
        return tried is not None and path[-1] not in _ROPE_TYPE and tried not in given


def _by_path(of_kinds: Mapping[str, tuple[str, ...]]) -> Mapping[tuple[str, ...], frozenset[str]]:
    return {
        _split(name): frozenset(kinds.split("|"))
        for kinds, names in of_kinds.items()
        for name in names
    }


def _split(name: str) -> tuple[str, ...]:
    return tuple(name.split("."))


def _is_within(path: Path, parts: Set[Path]) -> bool:
    return any(path[: len(part)] == part for part in parts)


def _slides(config: Mapping[str, Any]) -> bool:
    """Whether a layer has a sliding window: without layer_types, some do in such classes."""
    layers = config.get("layer_types")
    return not isinstance(layers, list) or "sliding_attention" in layers


def _spellings(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A path, and that of the same rotary setting in an object, or in one of another name."""
    yield path
    if path[-1] == "rope_theta" and path[-2:-1] not in (("rope_scaling",), ("rope_parameters",)):
        yield (*path[:-1], "rope_parameters", "rope_theta")
    if path[-2:-1] in (("rope_scaling",), ("rope_parameters",)):
        other = "rope_parameters" if path[-2] == "rope_scaling" else "rope_scaling"
        yield (*path[:-2], other, path[-1])
        if path[-1] == _ROPE_TYPE[0]:
            yield (*path[:-1], _ROPE_TYPE[1])
            yield (*path[:-2], other, _ROPE_TYPE[1])


def _is_spelled(
    key: str, value: object, holder: Mapping[str, Any], aliases: Mapping[str, str]
) -> bool:
    """Whether the setting is there under another key."""
    if value is None:
        return key in _ROPE and bool(holder.get("rope_parameters"))
    if value is not ABSENT:
        return False
    if key in _ROPE:
        return not _ROPE.isdisjoint(holder)
    real = aliases.get(key, key)
    return real in holder or any(to == real and name in holder for name, to in aliases.items())


@cache
def settings(runtime: str, version: str, architecture: str) -> Settings | None:
    """What stops the class of an architecture; None if that was not tried with this release."""
    known = release_file(runtime, FOLDER, version)
    recorded = known.architectures.get(architecture) if known else None
    if recorded is None:
        return None
    return Settings(msgspec.json.decode(recorded, type=SettingsRecord))


@cache
def of_same_class(
    runtime: str, version: str, architecture: str, model_type: str
) -> Settings | None:
    """The same of a class that was tried with configs of a type under another name.

    A registry has several names for a class: `CohereForCausalLM` and `Cohere2ForCausalLM` of vLLM
    are one. Those of a file that end alike are taken for one.

    Args:
        runtime: its name.
        version: its release.
        architecture: not tried itself.
        model_type: of the config.
    """
    known, own = release_file(runtime, FOLDER, version), of_release(runtime, version, architecture)
    if known is None or own is None or not architecture.endswith(_CAUSAL):
        return None
    for name in known.architectures:
        found = settings(runtime, version, name) if name.endswith(_CAUSAL) else None
        if found is None or found.record.model_type != model_type:
            continue
        other = of_release(runtime, version, name)
        if other is not None and other.origin.class_file == own.origin.class_file:
            return found
    return None


@cache
def of_model_type(runtime: str, version: str, model_type: str) -> Settings | None:
    """What stops every class that was tried with configs of a type; None if none was.

    Of those that build a language model: a draft, which has the same config, reads less of it.
    """
    known = release_file(runtime, FOLDER, version)
    names = [n for n in known.architectures if not is_draft(runtime, n)] if known else []
    tried = [settings(runtime, version, name) for name in names]
    found = [one for one in tried if one is not None and one.record.model_type == model_type]
    return Settings(reduce(_common, (one.record for one in found))) if found else None


def _common(one: SettingsRecord, other: SettingsRecord) -> SettingsRecord:
    """What both records name, as one."""
    return replace(
        one,
        rope=one.rope | other.rope,
        stops=_common_kinds(one.stops, other.stops),
        windows=tuple(path for path in one.windows if path in other.windows),
        windowed=_common_kinds(one.windowed, other.windowed),
    )


def _common_kinds(
    one: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    kinds_of, others = _by_path(one), _by_path(other)
    common = {path: kinds & others.get(path, frozenset()) for path, kinds in kinds_of.items()}
    by_kinds: dict[str, tuple[str, ...]] = {}
    for path, kinds in common.items():
        if kinds:
            joined = "|".join(sorted(kinds))
            by_kinds[joined] = (*by_kinds.get(joined, ()), ".".join(path))
    return by_kinds
