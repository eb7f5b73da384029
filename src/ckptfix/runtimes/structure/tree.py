"""A checkpoint's modules where the classes of a release put them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.family_spec import BuiltWhenSpec
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.layout import Layout, builtin_layouts
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.registry import runtime_named
from ckptfix.text import visible

_LAYER: Final = re.compile(r"layers\.(\d{1,9})\.(.+)")
_SHOWN: Final = 3


@dataclass(frozen=True)
class Expected:
    """What the classes build that their family alone does not say."""

    layout: Layout | None
    """Of the language model; None where nobody has written it down."""
    built: tuple[BuiltWhenSpec, ...] = ()
    """What this release of this architecture builds for some configs only."""


@dataclass(frozen=True)
class Tree:
    """A checkpoint's modules against those that a release builds."""

    checkpoint: Checkpoint
    family: Family
    expected: Expected
    has_config: bool
    """The release goes by the metadata; without any it has no quantization config."""
    kv_cache: bool
    """The attention layers are built with scales for a quantized KV cache."""
    takes: frozenset[str] = frozenset()
    """More roles that a linear layer may hold: those of another quantizer, judged elsewhere.

    Where there are any, a bias too many does no harm: GPTQ stores one of zeros for every layer
    (vllm 0.33.0, vllm/model_executor/models/utils.py `AutoWeightsLoader.load_weights`).
    """
    tower: str = ""
    """Place of the tower that it is about; empty for the language model."""

    @cached_property
    def layout(self) -> Layout | None:
        """Of the tower or the language model; None where nobody has written it down."""
        if self.tower:
            return builtin_layouts()[self.family.spec.towers[self.tower]]
        return self.expected.layout

    @cached_property
    def towers(self) -> tuple["Tree", ...]:
        """The same for every tower whose layout is known and of which something is stored."""
        towers = (replace(self, tower=place) for place in self.family.spec.towers)
        return tuple(tower for tower in towers if tower.below)

    @cached_property
    def config(self) -> ModelConfig:
        """Its part of config.json."""
        config = self.checkpoint.config
        return self.layout.config_in(config) if self.layout else config

    @property
    def runtime(self) -> Runtime:
        """Whose release it is."""
        return runtime_named(self.family.spec.runtime)

    @property
    def stops(self) -> Effect:
        """What a tensor without a place does."""
        return Effect.WRONG_WEIGHTS if self.runtime.drops_strays else Effect.STOPS

    @cached_property
    def places(self) -> Mapping[str, str]:
        """Checkpoint name -> place, of the modules that the release looks at."""
        mapped = ((name, self.family.places.map(name)) for name in self.checkpoint.modules if name)
        return {name: place for name, place in mapped if place is not None}

    @cached_property
    def base(self) -> str:
        """Its place; for the language model that of embeddings and layers, empty if unclear."""
        if self.tower or self.family.spec.base:
            return self.tower or self.family.spec.base
        found = {
            place.rpartition(".")[0]
            for place in self.places.values()
            if self.family.is_embedding(place) and "embed" in place.rpartition(".")[2]
        }
        numbered = [base for base in found if base and self._has_layers(base)]
        return numbered[0] if len(numbered) == 1 else ""

    def _has_layers(self, base: str) -> bool:
        below = f"{base}.layers."
        return any(place.startswith(below) for place in self.places.values())

    @cached_property
    def below(self) -> Mapping[str, str]:
        """Checkpoint name -> place below the language model, of what is there, without drafts."""
        start = f"{self.base}."
        found = (
            (name, place.removeprefix(start))
            for name, place in self.places.items()
            if self.base and place.startswith(start)
        )
        return {name: place for name, place in found if not self.is_draft(place)}

    def is_draft(self, place: str) -> bool:
        """True for what is in a draft layer, which another class builds."""
        numbered, number = self.in_layer(place), self.number_of_layers
        drafts = self.config.draft_layers
        if numbered is None or number is None or drafts is None:
            return False
        return number <= numbered[0] < number + drafts.number

    @cached_property
    def is_fragment(self) -> bool:
        """Nothing is stored of what stands beside the layers: somebody looks at a few modules."""
        beside = self.layout.spec.beside_layers if self.layout else ()
        return bool(beside) and not set(beside) & set(self.below.values())

    @cached_property
    def layers(self) -> Mapping[int, Mapping[str, str]]:
        """Number of a layer -> place in it -> checkpoint name."""
        found: dict[int, dict[str, str]] = {}
        for name, place in self.below.items():
            if numbered := self.in_layer(place):
                found.setdefault(numbered[0], {})[numbered[1]] = name
        return found

    def in_layer(self, place: str) -> tuple[int, str] | None:
        """Number of the layer and name in it, of what is in one."""
        if self.layout is not None:
            return self.layout.in_layer(place)
        found = _LAYER.fullmatch(place)
        return (int(found[1]), found[2]) if found else None

    def within(self, place: str) -> str:
        """The name that layouts use: in a layer, else below the language model."""
        numbered = self.in_layer(place)
        return numbered[1] if numbered else place

    @cached_property
    def number_of_layers(self) -> int | None:
        """What config.json announces."""
        if self.layout is None:
            return self.config.num_hidden_layers
        return self.layout.number_of_layers(self.config)

    @cached_property
    def blocks(self) -> Mapping[str, Mapping[str, str]]:
        """Place of a module in a layer -> what it holds, modules and parameters -> a name of it.

        Of a bank of experts only `experts` is listed, whatever is in it.
        """
        found: dict[str, dict[str, str]] = {}
        for number, held in self.layers.items():
            for place, name in held.items():
                self._add(found, f"{self.list_name}.{number}", place, name)
        return found

    @property
    def list_name(self) -> str:
        """What the list of layers is called."""
        return self.layout.spec.layers if self.layout else "layers"

    def _add(self, found: dict[str, dict[str, str]], layer: str, place: str, name: str) -> None:
        head, bank, _ = f"{place}.".partition(EXPERTS)
        parts = (f"{head}{EXPERTS[:-1]}" if bank else place).split(".")
        for end in range(len(parts)):
            block = ".".join([layer, *parts[:end]])
            found.setdefault(block, {}).setdefault(parts[end], name)
        module = self.checkpoint.modules[name]
        if module.weight is None and not bank:
            own = found.setdefault(f"{layer}.{place}", {})
            for role in module.tensors:
                own.setdefault(role, name)

    def unwritten(self, place: str, beside: str = "") -> Reason:
        """A module below the language model that nothing fills."""
        told = f"leaves weights uninitialised: {visible(place)} is not stored"
        return Reason(told, Effect.WRONG_WEIGHTS, tensor=beside)


def ordered(names: Sequence[str]) -> list[str]:
    """Experts first, so that what stands for many is always seen."""
    return sorted(names, key=lambda name: EXPERTS not in name)


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(visible, ordered(names)[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"
