"""The files of recorded config classes, which `tools/record_config_classes.py` writes."""

from functools import cache

import msgspec

from ckptfix.runtimes.facts import FACTS


class RecordedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a release of transformers, or of a runtime."""

    transformers: str
    classes: dict[str, msgspec.Raw]
    """By model_type, or by name where another class has that model_type. Read where a class is
    asked for: there are hundreds. Null for one that cannot be built without a config."""
    runtime: str = ""
    source: str = ""
    """Where facts come from that no tool recorded."""
    layer_kinds: dict[str, frozenset[str]] = {}
    """Key of a list with the kind of every layer -> the kinds that classes know."""
    rope: dict[str, tuple[str, ...]] = {}
    """Type of rotary settings -> keys without which they are refused."""


@cache
def recorded_file(name: str) -> RecordedFile:
    """The file of that name, without its ending."""
    path = FACTS / "config_classes" / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=RecordedFile)
