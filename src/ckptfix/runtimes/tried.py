"""What was learned of values that stop a class, for the parts of a config.json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.checkpoint.model_config import NESTED_CONFIGS
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.config_classes import ConfigClass, class_for, stray_language_config
from ckptfix.runtimes.config_classes.made_up import made_up
from ckptfix.runtimes.config_classes.types import has_own_code
from ckptfix.runtimes.learned.settings import Settings, of_model_type, of_same_class, settings
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target


class Tried(Struct, frozen=True):
    """A class whose settings were tried, and the part of config.json that it is built with."""

    path: Path
    settings: Settings
    config_class: ConfigClass | None
    """The class that reads this part, where it is recorded."""
    completes: bool = False
    """The wrapper may put values into this part: none is missed."""
    elsewhere: frozenset[Path] = frozenset()
    """Parts of this part that another class was tried with, of their own type."""
    has_own_code: bool = False
    """The config class is code of the checkpoint: what it has by default is not known."""

    def stops(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """(Path in config.json, kind of the value there) of what the class cannot be built with."""
        for path, kind in self._stopped(values):
            if kind != "missing" or not (self.completes or self.has_own_code):
                yield path, kind

    def missed(self, values: Mapping[str, Any]) -> Iterator[str]:
        """Keys, each with its path, that the class was seen to need."""
        found = (path for path, kind in self._stopped(values) if kind == "missing")
        return (".".join(map(str, path)) for path in found)

    def _stopped(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        part = find_at(values, self.path)
        for path, kind in self.settings.stopped_by(part, self.config_class, self.elsewhere):
            yield (*self.path, *path), kind


def tried_for(checkpoint: Checkpoint, target: Target, classes: Sequence[str]) -> tuple[Tried, ...]:
    """What was tried of the outermost class, and of the one that it builds for a language model.

    The inner one counts where the outer was not tried, or only with a language model of another
    type.

    Args:
        checkpoint: with a config.json.
        target: the release.
        classes: that it builds, outermost first.
    """
    values = checkpoint.config_values
    if values is None:
        return ()
    outer = _tried(values, (), target, settings(*_release(target), classes[0]))
    if outer is None and isinstance(model_type := values.get("model_type"), str):
        same = of_same_class(*_release(target), classes[0], model_type)
        outer = _tried(values, (), target, same)
    within = [(key,) for key, _ in NESTED_CONFIGS if isinstance(values.get(key), dict)]
    if outer is not None:
        within = [
            path
            for path in within
            if path in outer.settings.other_parts(values, outer.config_class)
        ]
    inner = {path: _inner(values, path, target, classes[1:]) for path in within}
    found = {path: tried for path, tried in inner.items() if tried is not None}
    if outer is None:
        return tuple(found.values())
    return (replace(outer, elsewhere=frozenset(found)), *found.values())


def _inner(values: object, path: Path, target: Target, classes: Sequence[str]) -> Tried | None:
    """Of a class that is named, else of the only one that was tried with such a config."""
    for name in classes:
        if found := _tried(values, path, target, settings(*_release(target), name)):
            return replace(found, completes=True)
    model_type = find_at(values, (*path, "model_type"))
    if not isinstance(model_type, str):
        return None
    found = _tried(values, path, target, of_model_type(*_release(target), model_type))
    return replace(found, completes=True) if found else None


def _tried(values: object, path: Path, target: Target, known: Settings | None) -> Tried | None:
    """None if another config class reads the part: it has other defaults."""
    if known is None:
        return None
    rows = runtime_named(target.runtime).config_classes
    model_type = find_at(values, (*path, "model_type"))
    own = class_for(rows, target.profile_version, model_type)
    other = class_for(rows, target.profile_version, known.record.model_type)
    is_same = own is not None and other is not None and own.record.reads_like(other.record)
    if model_type != known.record.model_type and not is_same:
        return None
    has_code = own is None and not path and isinstance(values, dict) and has_own_code(values)
    return Tried(path, known, own, has_own_code=has_code)


def unsaid(
    known: ConfigClass | None, every: Sequence[Tried], values: Mapping[str, Any] | None
) -> Iterator[str]:
    """Keys, each with its path, of which only the config class knows what counts without them.

    Args:
        known: the class that reads config.json, where it is recorded.
        every: what was tried of the model classes.
        values: config.json.
    """
    yield from made_up(known, values)
    for tried in every:
        if tried.has_own_code:
            yield from tried.missed(values or {})


def stray_config_for(checkpoint: Checkpoint, target: Target) -> str:
    """The key of what a release takes for the language model's config, and stops; else empty."""
    runtime, values = runtime_named(target.runtime), checkpoint.config_values
    if values is None or checkpoint.is_mistral or runtime.stray_config is None:
        return ""
    version = target.profile_version
    return stray_language_config(runtime.config_classes, version, values, runtime.stray_config)


def _release(target: Target) -> tuple[str, str]:
    return target.runtime, target.profile_version
