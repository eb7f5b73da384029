"""The modules of a checkpoint, placed in the module tree that a release builds."""

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
    """What the classes build in addition to what their family describes."""

    layout: Layout | None
    """Layout of the language model; None if there is none for it."""
    built: tuple[BuiltWhenSpec, ...] = ()
    """Modules that this release builds only if a key of config.json is set."""
    kv_scales_need_config: bool = False
    """Scales of a KV cache stop it where it has no quantization config."""
    tied_by_wrapper: bool = False
    """`tie_word_embeddings` at the top of config.json decides, not the language model's own."""


@dataclass(frozen=True)
class Tree:
    """The modules of a checkpoint, compared with those that a release builds."""

    checkpoint: Checkpoint
    family: Family
    expected: Expected
    has_config: bool
    """The release has a quantization config, because it reads some metadata."""
    kv_cache: bool
    """The attention layers are built with scales for a quantized KV cache."""
    takes: frozenset[str] = frozenset()
    """Additional roles that a linear layer may have; the methods of other quantizers judge them.

    With any of them, an unexpected bias does no harm: GPTQ stores one of zeros for every layer
    (vllm 0.33.0, vllm/model_executor/models/utils.py `AutoWeightsLoader.load_weights`).
    """
    tower: str = ""
    """Place of the tower in question; empty for the language model."""

    @cached_property
    def layout(self) -> Layout | None:
        """Layout of the tower or the language model; None if there is none for it."""
        if self.tower:
            return builtin_layouts()[self.family.spec.towers[self.tower]]
        return self.expected.layout

    @cached_property
    def towers(self) -> tuple["Tree", ...]:
        """The tree of every tower that has a layout and at least one stored module."""
        towers = (replace(self, tower=place) for place in self.family.spec.towers)
        return tuple(tower for tower in towers if tower.below)

    @cached_property
    def config(self) -> ModelConfig:
        """The part of config.json for the tower or the language model."""
        config = self.checkpoint.config
        return self.layout.config_in(config) if self.layout else config

    @property
    def runtime(self) -> Runtime:
        """The runtime of this release."""
        return runtime_named(self.family.spec.runtime)

    @property
    def stops(self) -> Effect:
        """Effect of a tensor for which the release has no module."""
        return Effect.WRONG_WEIGHTS if self.runtime.drops_strays else Effect.STOPS

    @cached_property
    def places(self) -> Mapping[str, str]:
        """Checkpoint name -> place, for all modules that the release does not skip."""
        mapped = ((name, self.family.places.map(name)) for name in self.checkpoint.modules if name)
        return {name: place for name, place in mapped if place is not None}

    @cached_property
    def heads(self) -> Sequence[str]:
        """Checkpoint names of output heads."""
        is_head, mapper = self.family.is_head, self.family.mapper
        return [name for name in self.places if is_head(mapper.map(name) or "")]

    @cached_property
    def base(self) -> str:
        """Place of the tower, or of the embeddings and layers of the language model, or empty."""
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
        """Checkpoint name -> place relative to `base`, below which it is; without draft layers."""
        start = f"{self.base}."
        found = (
            (name, place.removeprefix(start))
            for name, place in self.places.items()
            if self.base and place.startswith(start)
        )
        return {name: place for name, place in found if not self.is_draft(place)}

    def is_draft(self, place: str) -> bool:
        """True for a module in a draft layer, which a separate class builds."""
        numbered, number = self.in_layer(place), self.number_of_layers
        drafts = self.config.draft_layers
        if numbered is None or number is None or drafts is None:
            return False
        return number <= numbered[0] < number + drafts.number

    @cached_property
    def _parted(self) -> tuple[Mapping[int, Mapping[str, str]], Mapping[str, str]]:
        layers: dict[int, dict[str, str]] = {}
        outside: dict[str, str] = {}
        for name, place in self.below.items():
            if numbered := self.in_layer(place):
                layers.setdefault(numbered[0], {})[numbered[1]] = name
            else:
                outside[place] = name
        return layers, outside

    @property
    def layers(self) -> Mapping[int, Mapping[str, str]]:
        """Layer number -> place in the layer -> checkpoint name."""
        return self._parted[0]

    @property
    def outside(self) -> Mapping[str, str]:
        """Place -> checkpoint name, of what is in no layer; a layer with parameters is in none."""
        return self._parted[1]

    def in_layer(self, place: str) -> tuple[int, str] | None:
        """Layer number and place in that layer; None for a module outside the layers."""
        if place in self._in_layer:
            return self._in_layer[place]
        if self.layout is not None:
            numbered = self.layout.in_layer(place)
        else:
            found = _LAYER.fullmatch(place)
            numbered = (int(found[1]), found[2]) if found else None
        return self._in_layer.setdefault(place, numbered)

    @cached_property
    def _in_layer(self) -> dict[str, tuple[int, str] | None]:
        """The results of `in_layer`, which is called several times per place."""
        return {}

    def within(self, place: str) -> str:
        """The name that layouts use: relative to the layer if there is one, else to `base`."""
        numbered = self.in_layer(place)
        return numbered[1] if numbered else place

    @cached_property
    def number_of_layers(self) -> int | None:
        """The number of layers that config.json declares."""
        if self.layout is None:
            return self.config.num_hidden_layers
        return self.layout.number_of_layers(self.config)

    @cached_property
    def blocks(self) -> Mapping[str, Mapping[str, str]]:
        """Place of a block in a layer -> its modules and parameters -> one stored name for each.

        A bank of experts is listed as `experts`, without its contents.
        """
        found: dict[str, dict[str, str]] = {}
        for number, held in self.layers.items():
            for place, name in held.items():
                self._add(found, f"{self.list_name}.{number}", place, name)
        for place, name in self.outside.items():
            if place.startswith(f"{self.list_name}."):
                for role in self.checkpoint.modules[name].tensors:
                    found.setdefault(place, {}).setdefault(role, name)
        return found

    @property
    def list_name(self) -> str:
        """Name of the list of layers."""
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

    def beside(self, place: str, stored: str) -> str:
        """The stored module to report in place of a lost one; empty if the layer has none.

        An expert stands for all that are identical to it. What is said of one alone would end
        that, so another module of the layer is taken.
        """
        if EXPERTS not in stored:
            return stored
        numbered = self.in_layer(place)
        layer = self.layers.get(numbered[0], {}) if numbered else {}
        return next((name for name in layer.values() if EXPERTS not in name), "")

    def uninitialised(self, place: str, neighbour: str = "") -> Reason:
        """The module at `place` gets no weights; `neighbour` is a stored tensor next to it."""
        text = f"leaves weights uninitialised: {visible(place)} is not stored"
        return Reason(text, Effect.WRONG_WEIGHTS, tensor=neighbour)


def ordered(names: Sequence[str]) -> list[str]:
    """Experts first, because one name of them represents many."""
    return sorted(names, key=lambda name: EXPERTS not in name)


def some(names: Sequence[str]) -> str:
    """The first names, and the number of further ones."""
    shown = ", ".join(map(visible, ordered(names)[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"
