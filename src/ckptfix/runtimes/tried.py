"""What was learned of values that stop a class, for the parts of a config.json."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, find_at
from ckptfix.checkpoint.model_config import NESTED_CONFIGS
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.config_classes import ConfigClass, class_for
from ckptfix.runtimes.learned.settings import Settings, settings
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target


class Tried(Struct, frozen=True):
    """A class whose settings were tried, and the part of config.json that it is built with."""

    path: Path
    settings: Settings
    config_class: ConfigClass | None
    """The class that reads this part, where it is recorded."""


def tried_for(checkpoint: Checkpoint, target: Target, classes: Sequence[str]) -> tuple[Tried, ...]:
    """What was tried of the outermost class, else of those that it builds for a language model.

    Args:
        checkpoint: with a config.json.
        target: the release.
        classes: that it builds, outermost first.
    """
    document = checkpoint.documents.get(CONFIG_FILE)
    if document is None:
        return ()
    outer = tuple(_tried(document.value, (), target, classes[:1]))
    within = [(key,) for key, _ in NESTED_CONFIGS if isinstance(document.value.get(key), dict)]
    return outer or tuple(
        found for path in within for found in _tried(document.value, path, target, classes[1:])
    )


def _tried(values: object, path: Path, target: Target, classes: Sequence[str]) -> Iterator[Tried]:
    """Those whose config class is the one that reads the part: another has other defaults."""
    rows = runtime_named(target.runtime).config_classes
    part = find_at(values, path)
    model_type = part.get("model_type") if isinstance(part, dict) else None
    own = class_for(rows, target.profile_version, model_type)
    for name in classes:
        known = settings(target.runtime, target.profile_version, name)
        if known is None:
            continue
        other = class_for(rows, target.profile_version, known.record.model_type)
        is_same = own is not None and other is not None and own.record.reads_like(other.record)
        if model_type == known.record.model_type or is_same:
            yield Tried(path, known, own)
