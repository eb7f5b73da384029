"""What was recorded of one config class."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ckptfix.runtimes.common.kinds import ABSENT, KINDS, kind_of

_NO_SWITCH: Final = "|".join(sorted(set(KINDS) - {"missing", "null", "bool"}))


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
        """(Key of a config within it whose type is no string, the kind of that): it refuses it."""
        for key, default in self.by_type.items():
            part = values.get(key)
            if isinstance(part, dict):
                type_ = part.get("model_type", default or ABSENT)
                if not isinstance(type_, str):
                    yield key, kind_of(type_)

    def named_types(self, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """(Key of a config within it whose class is looked up, the type that it has)."""
        for key in self.by_type:
            part = values.get(key)
            if isinstance(part, dict) and isinstance(type_ := part.get("model_type"), str):
                yield key, type_

    def by_own_names(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values with their keys under their own names.

        Where a key is there under two names, the fields of the class are set first, and what else
        is in a config afterwards.
        """
        if not self.aliases:
            return dict(values)
        fields = frozenset(key for keys in self.refuses.values() for key in keys)
        ordered = sorted(values, key=lambda key: key not in fields)
        return {self.aliases.get(key, key): values[key] for key in ordered}

    def switches(self) -> tuple[str, ...]:
        """Keys of which it takes true, false and null only: of null, model classes make false."""
        return next((keys for kinds, keys in self.refuses.items() if kinds == _NO_SWITCH), ())

    def reads_like(self, other: "ClassRecord") -> bool:
        """Whether another class makes the same of every key."""
        own = {
            key: getattr(self, key)
            for key in ("checks_rope", "follows", "layer_lists", "lists_drafts")
        }
        return self == replace(other, **own)
