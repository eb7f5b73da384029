"""The modules of a checkpoint, placed in the module tree that a release builds."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.config_classes import values_by_path
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.layout import Layout, layout_named
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.structure.blocks import Kind, LayerBlocks, Parted
from ckptfix.runtimes.structure.expected import Expected
from ckptfix.text import visible

_Made = TypeVar("_Made")

_LAYER: Final = re.compile(r"layers\.(\d{1,9})\.(.+)")
_VECTORS: Final = ("norm", "norm_f", "norm1", "norm2", "A_log", "dt_bias")
"""Ends of names of norms, and parameters of Mamba layers."""


class Tree(Struct, frozen=True, dict=True):
    """The modules of a checkpoint, compared with those that a release builds."""

    checkpoint: Checkpoint
    family: Family
    expected: Expected
    has_config: bool
    """The release has a quantization config, because it reads some metadata."""
    kv_cache: bool
    """The attention layers are built with scales for a quantized KV cache."""
    takes: frozenset[str] = frozenset()
    """Additional roles that a linear layer may have; the methods of other quantizers judge them."""
    tower: str = ""
    """Place of the tower in question; empty for the language model."""

    def once(self, what: str, make: Callable[[], _Made]) -> _Made:
        """What is made of it, once for all metadata of the same tensors.

        No rewrite changes the rest of config.json.
        """
        family = id(self.family)  # families live as long as the program
        key = what, family, self.expected, self.has_config, self.kv_cache, self.takes, self.tower
        derived, config = self.checkpoint.table.derived, self.checkpoint.config
        made_for, made = derived.get(key, (None, None))
        if made_for is not config:
            made = make()
            derived[key] = config, made
        found: _Made = made
        return found

    @cached_property
    def layout(self) -> Layout | None:
        """Layout of the tower or the language model; None if there is none for it."""
        if self.tower:
            return layout_named(self.family.spec.towers[self.tower])
        return self.expected.layout

    @cached_property
    def towers(self) -> tuple["Tree", ...]:
        """The tree of every tower that has a layout and anything stored."""
        towers = (replace(self, tower=place) for place in self.family.spec.towers)
        return tuple(
            tower for tower in towers if tower.is_of_its_type and (tower.below or tower.itself)
        )

    @property
    def is_of_its_type(self) -> bool:
        """Whether the class builds the tower of this layout for the config."""
        types = self.layout.spec.model_types if self.layout else ()
        return not types or self.config.values.get("model_type") in types

    @cached_property
    def config(self) -> ModelConfig:
        """The part of config.json for the tower or the language model."""
        config, known = self.checkpoint.config, self.expected.config_class
        top = self.checkpoint.config_values or {}
        if known is not None:
            config = known.completed(top, config)
        if self.tower and self.layout and not self.layout.spec.settings:
            config = replace(config, values={**top, **config.values})
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
        tables = self.expected.drops_tables | self.expected.stops_at_tables
        mapped = ((name, self.family.places.map(name)) for name in self.checkpoint.modules if name)
        return {name: at for name, at in mapped if at is not None and name not in tables}

    @cached_property
    def heads(self) -> Sequence[str]:
        """Checkpoint names of output heads; what is looked up without a name is known by place."""
        is_head, mapper = self.family.modules.is_head, self.family.mapper
        return [name for name, place in self.places.items() if is_head(mapper.map(name) or place)]

    @cached_property
    def base(self) -> str:
        """Place of the tower, or of the embeddings and layers of the language model, or empty."""
        if self.tower or self.family.spec.base:
            return self.tower or self.family.spec.base
        found = {
            place.rpartition(".")[0]
            for place in self.places.values()
            if self.family.modules.is_embedding(place) and "embed" in place.rpartition(".")[2]
        }
        numbered = [base for base in found if base and self._has_layers(base)]
        return numbered[0] if len(numbered) == 1 else ""

    @cached_property
    def itself(self) -> str:
        """The module at that place, which has the parameters outside of modules; empty if none."""
        return next((name for name, place in self.places.items() if place == self.base), "")

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
        number, drafts = self.number_of_layers, self.config.draft_layers
        if number is None or drafts is None:
            return False
        numbered = self.in_layer(place)
        return numbered is not None and number <= numbered[0] < number + drafts.number

    @cached_property
    def _parted(self) -> Parted:
        layers: dict[int, dict[str, str]] = {}
        outside: dict[str, str] = {}
        kinds: dict[str, Kind] = {}
        shared: dict[Kind, Kind] = {}
        for name, place in self.below.items():
            held = id(self.checkpoint.modules[name].tensors)
            if numbered := self.in_layer(place):
                number, within = numbered
                kind = within, held
                kinds[name] = kind = shared.setdefault(kind, kind)
                layers.setdefault(number, {})[kind[0]] = name
            else:
                kinds[name] = place, held
                outside[place] = name
        return Parted(layers, outside, kinds)

    @property
    def layers(self) -> Mapping[int, Mapping[str, str]]:
        """Layer number -> place in the layer -> checkpoint name."""
        return self._parted.layers

    @property
    def outside(self) -> Mapping[str, str]:
        """Place -> checkpoint name, outside layers; a layer with parameters counts as outside."""
        return self._parted.outside

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Checkpoint name -> its kind, for everything below `base`."""
        return self._parted.kinds

    @cached_property
    def firsts(self) -> Mapping[Kind, Module]:
        """Kind -> the first module of it; for what needs to be said of one module only."""
        found: dict[Kind, str] = {}
        for name, kind in self.kinds.items():
            found.setdefault(kind, name)
        return {kind: self.checkpoint.modules[name] for kind, name in found.items()}

    def each(self, look: Callable[[str, Module], Sequence[str]]) -> Iterator[tuple[str, str]]:
        """Every module below `base` with everything that is found in one of its kind.

        Args:
            look: called once for each kind, with the place in the layer and a module.
        """
        found = {kind: look(kind[0], module) for kind, module in self.firsts.items()}
        if any(found.values()):
            for name, kind in self.kinds.items():
                yield from ((name, what) for what in found[kind])

    def in_layer(self, place: str) -> tuple[int, str] | None:
        """Layer number and place in that layer; None for a module outside the layers."""
        if self.layout is not None:
            return self.layout.in_layer(place)
        found = _LAYER.fullmatch(place)
        return (int(found[1]), found[2]) if found else None

    @cached_property
    def number_of_layers(self) -> int | None:
        """The number of layers that config.json declares."""
        if self._counted is not None:
            return self._counted[1]
        if self.layout is None:
            return self.config.num_hidden_layers
        return self.layout.number_of_layers(self.config)

    def declared(self, number: int) -> str:
        """How config.json declares this number of layers, as the start of a sentence."""
        if self._counted is not None:
            return f"{self._counted[0]} gives a number of layers of {number:,}"
        key = (self.layout and self.layout.spec.count) or "num_hidden_layers"
        return f"{key} is {number:,}"

    @cached_property
    def _counted(self) -> tuple[str, int] | None:
        written = self.expected.by_config
        return written.layers(self.flat) if written is not None and not self.tower else None

    @cached_property
    def flat(self) -> Mapping[str, Any]:
        """config.json by path, see `values_by_path`."""
        return values_by_path(self.checkpoint.config_values or {}, self.expected.config_class)

    @cached_property
    def blocks(self) -> LayerBlocks:
        """The blocks of every layer."""
        return LayerBlocks(self.checkpoint.modules, self._parted, self.list_name)

    @property
    def list_name(self) -> str:
        """Name of the list of layers."""
        return self.layout.spec.layers if self.layout else "layers"

    def beside(self, place: str, stored: str) -> str:
        """The stored module to report instead of a missing one; empty if the layer has none.

        An expert represents all identical ones. A finding about one alone would end that, so a
        different module of the layer is used.
        """
        if EXPERTS not in stored:
            return stored
        numbered = self.in_layer(place)
        layer = self.layers.get(numbered[0], {}) if numbered else {}
        return next((name for name in layer.values() if EXPERTS not in name), "")

    def uninitialised(self, place: str, neighbour: str = "") -> Reason:
        """The module at `place` gets no weights; `neighbour` is a stored tensor next to it."""
        return self.unwritten(f"{visible(place)} is not stored", neighbour, seen=_is_vector(place))

    def unwritten(self, why: str, neighbour: str = "", *, seen: bool = True) -> Reason:
        """Some weights are written by nothing.

        Args:
            why: a sentence about them.
            neighbour: a stored tensor next to them.
            seen: a release that looks for such weights in an unquantized model sees these.
        """
        if seen and not self.has_config and self.runtime.finds_unwritten_weights:
            return Reason.stop(why, tensor=neighbour)
        text = f"leaves weights uninitialised: {why}"
        return Reason(text, Effect.WRONG_WEIGHTS, tensor=neighbour)


def _is_vector(place: str) -> bool:
    """True for a norm or a parameter: layers with a method of their own are not looked at."""
    return place.rpartition(".")[2].endswith(_VECTORS)
