"""Tensors that no module of a release takes, and modules of it that no tensor fills.

What a class builds follows from config.json: layers, experts, rows of the embeddings. vLLM stops
at a tensor that it has no parameter for and does not report a parameter that stays as it was
allocated; SGLang reports neither (vLLM 0.33.0, vllm/model_executor/models/utils.py
`AutoWeightsLoader`, vllm/model_executor/model_loader/default_loader.py; SGLang 0.5.23,
`load_weights` of the models).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.registry import runtime_named
from ckptfix.text import visible

_ROLES: Final = frozenset(
    {"weight", "bias", "weight_scale", "weight_scale_2", "input_scale", "pre_quant_scale"}
    | {"svdquant_lora_a", "svdquant_lora_b", "e_score_correction_bias", *KV_ROLES}
)
"""What a linear layer may hold; whether its format may is for the stored format to decide."""
_EXPERT_COUNTS: Final = ("num_experts", "num_local_experts", "n_routed_experts")
_ROUTERS: Final = ("gate", "router")
_SHOWN: Final = 3


@dataclass(frozen=True)
class Structure:
    """A checkpoint's modules against those that a release builds."""

    checkpoint: Checkpoint
    family: Family
    has_config: bool
    """The release goes by the metadata; without any it has no quantization config."""
    kv_cache: bool
    """The attention layers are built with scales for a quantized KV cache."""
    takes: frozenset[str] = frozenset()
    """More roles that a linear layer may hold: those of another quantizer, judged elsewhere."""

    @property
    def _runtime(self) -> Runtime:
        return runtime_named(self.family.spec.runtime)

    @property
    def _stops(self) -> Effect:
        return Effect.WRONG_WEIGHTS if self._runtime.drops_strays else Effect.STOPS

    @cached_property
    def _places(self) -> Mapping[str, str]:
        """Checkpoint name -> runtime name, of the modules that the release looks at."""
        mapped = ((name, self.family.mapper.map(name)) for name in self.checkpoint.modules if name)
        return {name: place for name, place in mapped if place is not None}

    def reasons(self) -> Iterator[Reason]:
        """Why the release does not load the checkpoint as it is stored."""
        yield from self._config()
        yield from self._not_taken()
        yield from self._layers()
        yield from self._tables()
        yield from self._experts()
        yield from self._incomplete()
        yield from self._scales()
        if self.family.spec.refuses_stacked_experts and self.has_config:
            yield from self._stacked_experts()

    def _config(self) -> Iterator[Reason]:
        """What the classes read of config.json without looking whether it is there."""
        values = self.checkpoint.config.values
        for key in self.family.spec.needs:
            if values and key not in values:
                told = f"stops: config.json has no {key}, which this architecture needs"
                yield Reason(told, Effect.STOPS)
        for key, known in self.family.spec.allows.items():
            listed = values.get(key)
            odd = [v for v in listed if v not in known] if isinstance(listed, list) else []
            if odd:
                told = f"stops: {key} of config.json holds {visible(str(odd[0]))}"
                yield Reason(f"{told}, which it does not support", Effect.STOPS)

    def _not_taken(self) -> Iterator[Reason]:
        takes, may_build = self.family.takes, self.family.may_build
        lost = [n for n, place in self._places.items() if not (takes(n) and may_build(place))]
        if lost:
            told = f"builds no module for {_some(lost)}"
            yield Reason(told, self._stops, tensor=_ordered(lost)[0])
        if not self.family.knows_its_tree:
            return
        odd = [
            name
            for module in self._linears()
            for role, name in module.tensor_names.items()
            if role not in (_ROLES | self.takes) or (role == "bias" and self._has_no_bias(module))
        ]
        if odd:
            told = f"has no parameter for {_some(odd)}"
            yield Reason(told, self._stops, tensor=_ordered(odd)[0])

    def _linears(self) -> Iterator[Module]:
        """Linear layers of the language model."""
        below = f"{self._base}."
        for name, place in self._places.items() if self._base else ():
            weight = self.checkpoint.modules[name].weight
            if place.startswith(below) and weight is not None and len(weight.shape) == 2:
                yield self.checkpoint.modules[name]

    def _has_no_bias(self, module: Module) -> bool:
        """config.json says that this kind of layer has none."""
        block = module.name.rpartition(".")[0].rpartition(".")[2]
        key = {"self_attn": "attention_bias", "mlp": "mlp_bias"}.get(block)
        return key is not None and self.checkpoint.config.values.get(key) is False

    @cached_property
    def _base(self) -> str:
        """Runtime name of the language model that has embeddings and layers; empty if unclear."""
        found = {
            place.rpartition(".")[0]
            for place in self._places.values()
            if self.family.is_embedding(place) and "embed" in place.rpartition(".")[2]
        }
        within = [base for base in found if base and set(self._layers_below(base))]
        return within[0] if len(within) == 1 else ""

    def _layers_below(self, base: str) -> Iterator[int]:
        numbered = re.compile(re.escape(base) + r"\.layers\.(\d{1,9})\.")
        for place in self._places.values():
            if found := numbered.match(place):
                yield int(found[1])

    def _layers(self) -> Iterator[Reason]:
        config = self.checkpoint.config
        number = config.num_hidden_layers
        if number is None or not self._base:
            return
        stored = set(self._layers_below(self._base))
        drafts = config.draft_layers.number if config.draft_layers else 0
        more = sorted(layer for layer in stored if layer >= number + drafts)
        if more:
            told = f"num_hidden_layers is {number:,}, but layer {more[0]:,} is stored too"
            yield Reason(f"builds no module for it: {told}", self._stops)
        missing = sorted(set(range(min(number, len(stored) + 1))) - stored)
        if missing:
            told = f"num_hidden_layers is {number:,}, but layer {missing[0]:,} is not stored"
            yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)
        yield from self._parts_of_layers(stored)
        own = re.compile(re.escape(self._base) + r"\.(?!embed)\w*norm\w*")
        if self.family.knows_its_tree and not any(map(own.fullmatch, self._places.values())):
            told = f"no norm is stored below {self._base}"
            yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)

    def _parts_of_layers(self, stored: set[int]) -> Iterator[Reason]:
        held = set(self._places.values())
        for part in self.family.spec.in_every_layer:
            wanted = (f"{self._base}.layers.{layer}.{part}" for layer in sorted(stored))
            if missing := next((name for name in wanted if name not in held), ""):
                told = f"leaves weights uninitialised: {missing} is not stored"
                yield Reason(told, Effect.WRONG_WEIGHTS)

    def _tables(self) -> Iterator[Reason]:
        config = self.checkpoint.config
        heads = [n for n, place in self._places.items() if self.family.is_head(place)]
        rows = config.number("vocab_size")
        tables = [n for n, p in self._places.items() if p == f"{self._base}.embed_tokens"]
        for name in (*tables, *heads) if self._base else ():
            weight = self.checkpoint.modules[name].weight
            if rows is not None and weight is not None and weight.shape[:1] not in ((), (rows,)):
                told = f"{visible(name)} has {weight.shape[0]:,} rows, but vocab_size is {rows:,}"
                yield Reason(f"stops: {told}", Effect.STOPS, tensor=name)
        if config.tied_embeddings is False and self._base and not heads:
            if self.family.knows_its_tree:
                told = "the head is not stored, and tie_word_embeddings is false"
                yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)
        elif config.tied_embeddings and heads and self.family.spec.leaves_out_tied_head:
            told = "tie_word_embeddings is true, so it uses the embeddings for the head"
            told = f"does not load {visible(heads[0])}: {told}"
            yield Reason(told, Effect.WRONG_WEIGHTS, tensor=heads[0])

    def _experts(self) -> Iterator[Reason]:
        number = self.checkpoint.config.number(*_EXPERT_COUNTS)
        if number is None:
            return
        for head, numbers in self.checkpoint.expert_numbers.items():
            first = f"{head}{EXPERTS}0"
            numbered = bool(numbers) and all(map(str.isdecimal, numbers))
            if not numbered or self.family.mapper.map(first) is None:
                continue
            found = set(map(int, numbers))
            bank = f"{visible(head)}.experts"
            if found - set(range(number)):
                told = f"{bank} has expert {max(found):,}, but config.json declares {number:,}"
                yield Reason(f"has no parameter for it: {told}", Effect.STOPS)
            elif len(found) < number:
                told = f"{bank} has {len(found):,} experts, but config.json declares {number:,}"
                yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)
            yield from self._router(head, number)

    def _incomplete(self) -> Iterator[Reason]:
        """Blocks and experts that lack a module, and modules that lack their weight."""
        blocks: dict[str, dict[str, str]] = {}
        for name, place in self._places.items():
            module = self.checkpoint.modules[name]
            block, _, part = place.rpartition(".")
            if module.weight is not None:
                if self._base and block.startswith(f"{self._base}."):
                    blocks.setdefault(block, {})[part] = name
            elif module.tensors.keys() & {"weight_scale", "weight_scale_2", "input_scale"}:
                told = f"leaves weights uninitialised: {visible(name)} has scales and no weight"
                yield Reason(told, Effect.WRONG_WEIGHTS, tensor=name)
        for parts in blocks.values():
            for group in self.family.spec.together:
                held = [any(part in parts for part in either.split("|")) for either in group]
                if any(held) and not all(held):
                    lost = group[held.index(False)].partition("|")[0]
                    beside = next(parts[p] for e in group for p in e.split("|") if p in parts)
                    yield _unwritten(f"{beside.rpartition('.')[0]}.{lost}", beside)
        yield from self._uneven_banks()

    def _uneven_banks(self) -> Iterator[Reason]:
        """Experts of a bank hold the same modules; a number behind the module is none."""
        banks: dict[str, dict[str, set[str]]] = {}
        for name in self._places:
            head, dot, tail = name.partition(EXPERTS)
            number, _, part = tail.partition(".")
            if dot and part.isdecimal() and not number.isdecimal():
                yield Reason(f"has no parameter for {visible(name)}", self._stops, tensor=name)
                return
            if dot and part:
                banks.setdefault(head, {}).setdefault(number, set()).add(part)
        for head, experts in banks.items():
            every = set.union(*experts.values())
            for number, parts in experts.items():
                if parts != every:
                    lost = f"{head}{EXPERTS}{number}.{min(every - parts)}"
                    yield _unwritten(lost, f"{head}{EXPERTS}{number}.{min(parts)}")
                    break

    def _router(self, head: str, number: int) -> Iterator[Reason]:
        for part in _ROUTERS:
            module = self.checkpoint.modules.get(f"{head}.{part}")
            weight = module.weight if module else None
            if weight is not None and len(weight.shape) == 2 and weight.shape[0] != number:
                told = f"{visible(head)}.{part} has {weight.shape[0]:,} rows"
                yield Reason(
                    f"stops: {told}, but config.json declares {number:,} experts", Effect.STOPS
                )

    def _scales(self) -> Iterator[Reason]:
        """Scales that the release needs and looks for nowhere."""
        roles = set(KV_ROLES) if self._needs_kv_scales else set()
        names = []
        for module in self.checkpoint.modules.values():
            lost = roles
            if self.family.lacks_scales(module.name):
                lost = set(module.tensors) - {"weight", "bias"}
            names += [module.tensor_names[role] for role in module.tensors if role in lost]
        if names:
            told = f"does not load {_some(names)}"
            yield Reason(told, Effect.WRONG_WEIGHTS, tensor=_ordered(names)[0])

    @property
    def _needs_kv_scales(self) -> bool:
        """It quantizes the cache and leaves the scales for it out.

        Where the metadata announce no quantized cache in a way that it reads, it keeps the cache
        in the model's dtype, and nothing is lost with the scales.
        """
        takes = self._runtime.always_takes_kv_scales or self.family.spec.kv_scales
        return self.kv_cache and not takes

    def _stacked_experts(self) -> Iterator[Reason]:
        for name, module in self.checkpoint.modules.items():
            stacked = [
                n for r, n in module.tensor_names.items() if len(module.tensors[r].shape) == 3
            ]
            if name.endswith(EXPERTS[:-1]) and stacked:
                told = f"stops: it does not support experts stored as one tensor: {_some(stacked)}"
                yield Reason(told, Effect.STOPS, tensor=stacked[0])
                return


def _unwritten(lost: str, beside: str) -> Reason:
    told = f"leaves weights uninitialised: {visible(lost)} is not stored"
    return Reason(told, Effect.WRONG_WEIGHTS, tensor=beside)


def _ordered(names: list[str]) -> list[str]:
    """Experts first, so that what stands for many is always seen."""
    return sorted(names, key=lambda name: EXPERTS not in name)


def _some(names: list[str]) -> str:
    shown = ", ".join(map(visible, _ordered(names)[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"
