"""Where the classes of an entry put modules, and the names that they look up.

The learned table has it (`learned/places.py`), unless the entry was written by hand.
"""

import re
from collections.abc import Mapping, Sequence, Set
from fnmatch import translate
from functools import cached_property
from typing import Any, Final, Protocol

from msgspec import Struct

from ckptfix.names import NameMapper
from ckptfix.runtimes.family_spec import PlacesSpec
from ckptfix.runtimes.name_maps import NameMapSpec, RuleSpec, compile_rules

_BANK: Final = re.compile(r"(?:.*?\.)?experts(?=\.|\Z)")


class Places(Protocol):
    """What one model class does with the names of a checkpoint."""

    @property
    def looked_up(self) -> NameMapper:
        """Checkpoint module -> name looked up in the quantization config, before packing."""

    @property
    def places(self) -> NameMapper:
        """Checkpoint module -> place in the runtime's module tree, before packing."""

    @property
    def loads_kv_scales(self) -> bool:
        """False if it was seen that `k_scale` and `v_scale` are not loaded."""

    def is_head(self, name: str) -> bool:
        """True for the runtime name of an output head."""

    def is_embedding(self, name: str) -> bool:
        """True for the runtime name of an embedding."""

    def is_never_quantized(self, name: str, config: Mapping[str, Any]) -> bool:
        """True for the runtime name of a module that is built without a quantization config.

        Args:
            name: after packing.
            config: config.json.
        """

    def packed(self, name: str, names: Set[str]) -> tuple[str, int]:
        """The packed module that a linear is part of, and its order there; itself and 0 if none.

        A model without the first member builds the others separately: DeepSeek without q_a_proj.

        Args:
            name: a looked-up name, before packing.
            names: all of them.
        """

    def members(self, packed: str) -> tuple[str, ...]:
        """Last parts of the names of a packed module's members, in order.

        Args:
            packed: last part of its name.
        """


def bank_of(name: str) -> str | None:
    """The expert bank that contains a runtime name; None outside of banks.

    >>> bank_of("model.layers.3.mlp.experts.7.up_proj")
    'model.layers.3.mlp.experts'
    """
    found = _BANK.match(name)
    return found[0] if found else None


class WrittenPlaces(Struct, frozen=True, dict=True):
    """Written by reading the classes."""

    spec: PlacesSpec
    before: NameMapper
    """Applied to names of a checkpoint first."""
    origin: str
    """File name, for messages."""

    @cached_property
    def looked_up(self) -> NameMapper:
        """See `Places`."""
        return self._compiled(*self.spec.rules, *self.spec.looked_up)

    @cached_property
    def places(self) -> NameMapper:
        """See `Places`."""
        return self._compiled(*self.spec.rules)

    def _compiled(self, *rules: RuleSpec) -> NameMapper:
        return self.before.then(compile_rules(NameMapSpec(rules), self.origin))

    @property
    def loads_kv_scales(self) -> bool:
        """See `Places`."""
        return True

    def is_head(self, name: str) -> bool:
        """See `Places`."""
        return self._heads.match(name) is not None

    def is_embedding(self, name: str) -> bool:
        """See `Places`."""
        return self._embeddings.match(name) is not None

    def is_never_quantized(self, name: str, config: Mapping[str, Any]) -> bool:
        """See `Places`."""
        if self._unquantized.match(name) is not None:
            return True
        return any(
            patterns.match(name) is not None and not _is_in_64s(config.get(key))
            for key, patterns in self._unless_64.items()
        )

    def packed(self, name: str, names: Set[str]) -> tuple[str, int]:
        """See `Places`."""
        parent, dot, last = name.rpartition(".")
        if last not in self._packed_into:
            return name, 0
        packed, order = self._packed_into[last]
        first = self.spec.packed[packed][0]
        return (f"{parent}{dot}{packed}", order) if f"{parent}{dot}{first}" in names else (name, 0)

    def members(self, packed: str) -> tuple[str, ...]:
        """See `Places`."""
        return self.spec.packed.get(packed, ())

    @cached_property
    def _heads(self) -> re.Pattern[str]:
        return shell_patterns(self.spec.heads)

    @cached_property
    def _embeddings(self) -> re.Pattern[str]:
        return shell_patterns(self.spec.embeddings)

    @cached_property
    def _unquantized(self) -> re.Pattern[str]:
        return shell_patterns(self.spec.unquantized)

    @cached_property
    def _unless_64(self) -> Mapping[str, re.Pattern[str]]:
        unless = self.spec.unquantized_unless_64
        return {key: shell_patterns(names) for key, names in unless.items()}

    @cached_property
    def _packed_into(self) -> Mapping[str, tuple[str, int]]:
        """Last part of a member's name -> packed module's last part, place among the members."""
        return {
            member: (packed, place)
            for packed, members in self.spec.packed.items()
            for place, member in enumerate(members)
        }


def shell_patterns(patterns: Sequence[str]) -> re.Pattern[str]:
    """An expression that matches what any of the patterns matches; `*` any characters."""
    # An empty alternation would match the empty string, so it is replaced by one that never
    # matches.
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")


def _is_in_64s(tower: object) -> bool:
    """True unless a size of the tower is known not to be a multiple of 64."""
    sizes = (
        [tower.get(k) for k in ("hidden_size", "intermediate_size")]
        if isinstance(tower, dict)
        else []
    )
    return all(size % 64 == 0 for size in sizes if isinstance(size, int))
