"""What was recorded of one config class."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace


class ClassRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class, as the file has it."""

    aliases: dict[str, str] = {}
    """Another name of a key -> the key."""
    nested: dict[str, str] = {}
    """Key of a config within it -> name of its class; empty where the config names it."""
    numbers: dict[str, int] = {}
    """Key -> the whole number that it has by default."""
    refuses: dict[str, tuple[str, ...]] = {}
    """Kinds of values, joined by `|` -> keys that the class refuses them for."""
    checks_rope: bool = False
    """It refuses rotary settings that lack what their type needs."""
    layer_lists: tuple[str, ...] = ()
    """Keys of lists that it refuses without a kind for every layer, each one that it knows."""
    lists_drafts: bool = False
    """These lists may go on with the layers that `num_nextn_predict_layers` counts."""
    follows: dict[str, str] = {}
    """Key -> the one whose number it takes where it is null, or missing and not in `numbers`."""
    by_type: dict[str, str] = {}
    """Key of a config within it whose class is looked up by the `model_type` there -> the one that
    counts where that is missing; empty where it refuses that. A null is refused."""
    from_around: tuple[str, ...] = ()
    """Keys of configs within it that have its own values where they are missing or null: older
    releases of transformers put everything there. Others have their defaults then."""

    left_null: tuple[str, ...] = ()
    """Keys of configs within it that stay null where they are missing or null: such a part is not
    built."""

    def type_of(self, key: str, part: Mapping[str, Any]) -> object:
        """Name of the class that reads a config within it.

        Args:
            key: of `nested`.
            part: what is there.
        """
        return self.nested[key] or part.get("model_type", self.by_type.get(key))

    def untyped(self, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """(Key of a config within it that has no type, `null` or `missing`): it refuses these."""
        for key, default in self.by_type.items():
            part = values.get(key)
            if isinstance(part, dict) and part.get("model_type", default or None) is None:
                yield key, "null" if "model_type" in part else "missing"

    def reads_like(self, other: "ClassRecord") -> bool:
        """Whether another class makes the same of every key."""
        own = {
            key: getattr(self, key)
            for key in ("checks_rope", "follows", "layer_lists", "lists_drafts")
        }
        return self == replace(other, **own)
