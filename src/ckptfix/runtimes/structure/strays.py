"""Tensors for which a release has no module or no parameter."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.formats.stored import is_inputs_first
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES, KV_SCALES, OWN_CACHE_SPELLING, OWN_SPELLINGS, SCALES
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.beside_known import (
    OF_QUANTIZERS,
    is_inside_layer,
    tensors_beside_known,
    weights_of_blocks,
)
from ckptfix.runtimes.structure.parameters import OF_CACHE, stray_tensors
from ckptfix.runtimes.structure.several import about, each_effect, stop_at
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_PACKED: Final = "qkv_proj"
_ATTENTION: Final = "self_attn"
_QUANTIZER: Final = "_quantizer"
"""End of the names of modules in which ModelOpt keeps what it measured; no class builds one."""
_OF_MISTRAL: Final = OWN_CACHE_SPELLING.partition(".")[0]
"""The same of what Mistral's own format calls scales."""
_CODES: Final = ("F8_E4M3", "F8_E5M2", "U8", "I8")
_OF_QUANTIZER: Final = ("_scale", "_zero_point")
"""Ends of names of parameters that attention has for a quantized cache."""
_PADDED: Final = re.compile(r"\.0\d+(?:\.|\Z)")
"""A number in front of which zeros are: no class spells one so."""
_OF_BANK: Final = 2
"""Dimensions of a bias of all experts of a bank."""


def stray_reasons(tree: Tree) -> Iterator[Reason]:
    """Modules, parameters, biases and scales that the release does not load."""
    parts = (tree, *tree.towers)
    modules = [n for n, place in tree.places.items() if not _is_taken(tree, parts, n, place)]
    yield from each_effect(tree, modules, tree.places, "builds no module for")
    tensors = {name: f"{part.tower}." for part in parts for name in stray_tensors(part)}
    tensors |= {name: tree.places[module] for module, name in tensors_beside_known(tree, parts)}
    tensors |= {name: tree.places[module] for module, name in weights_of_blocks(tree)}
    yield from each_effect(tree, list(tensors), tensors, "has no parameter for")
    if outside := list(_without_module(tree)):
        yield about(tree, outside, "has no parameter for {}", tree.stops)
    if tables := sorted(tree.expected.stops_at_tables):
        held = tree.checkpoint.modules
        named = [tensor for name in tables for tensor in held[name].tensor_names.values()]
        yield stop_at(tree, named, "it has no parameter for {}")
    yield from _own_scales(tree)
    yield from _codes(tree)
    yield from _scales(tree)
    if tree.family.spec.refuses_stacked_experts and tree.has_config:
        yield from _stacked_experts(tree)
    if not tree.family.spec.takes_inputs_first:
        yield from _inputs_first(tree)


def _without_module(tree: Tree) -> Iterator[str]:
    """Tensors that only quantized layers and attention have, at the top, where neither is."""
    module = tree.checkpoint.modules.get("")
    held = module.tensor_names.items() if module is not None else ()
    return (name for role, name in held if role in OF_QUANTIZERS or role in OF_CACHE)


def _own_scales(tree: Tree) -> Iterator[Reason]:
    """Scales named as in Mistral's own format, in a class that does not know those names."""
    spec, config = tree.family.spec, tree.checkpoint.config
    classes = {*config.architectures, *(name for _, inner in config.nested for name in inner)}
    ends = () if spec.own_scales else OWN_SPELLINGS
    if not classes.isdisjoint(spec.own_cache_scales_stop):
        ends = (*ends, OWN_CACHE_SPELLING)
    places = tree.places.items() if ends else ()
    read = [n for n, place in places if not place.startswith(spec.drops_below)]
    modules = [tree.checkpoint.modules[name] for name in read]
    names = [n for m in modules for n in m.tensor_names.values() if n.endswith(ends)]
    if names:
        yield about(tree, names, "has no parameter for {}", tree.stops)


def _is_taken(tree: Tree, parts: Sequence[Tree], name: str, place: str) -> bool:
    if not tree.family.takes(name) or is_inside_layer(tree, name):
        return False
    if ".0" in name and _PADDED.search(name):
        return False
    placed = False
    for part in parts:
        at = part.below.get(name)
        if at is not None:
            placed = True
            if not _may_hold(part, name, at):
                return False
    if placed:
        return True
    below = f"{tree.base}."
    drafted = place.startswith(below) and tree.is_draft(place.removeprefix(below))
    return drafted or tree.family.may_hold_outside(place)


def _may_hold(part: Tree, name: str, at: str) -> bool:
    """Whether the class builds a module there, or takes the scales of a KV cache that are there.

    vLLM looks for them next to the packed projection too, in every class that takes them next to
    the key's (vllm 0.15.0 to 0.33.0, vllm/model_executor/model_loader/weight_utils.py
    `maybe_remap_kv_scale_name`).
    """
    if at.endswith(_QUANTIZER) and not at.endswith(_OF_MISTRAL):
        return False
    if part.layout is None or part.layout.may_hold(at):
        return True
    block, _, last = at.rpartition(".")
    return (
        last == _PACKED
        and block.endswith(_ATTENTION)
        and not part.tower
        and not part.runtime.drops_strays
        and part.expected.loads_kv_scales
        and part.layout.may_hold(f"{block}.k_proj")
        and part.checkpoint.modules[name].tensors.keys() <= set(KV_SCALES)
    )


def _codes(tree: Tree) -> Iterator[Reason]:
    """Vectors and parameters stored as quantized codes, which a release casts without scaling."""
    modules = tree.checkpoint.modules
    others = (modules[name] for name in tree.places if name not in tree.below)
    for module in (*tree.firsts.values(), *others):
        for role, tensor in module.tensors.items():
            if tensor.dtype in _CODES and _is_plain(tree, module, role):
                stored = f"{visible(module.tensor_names[role])} is {tensor.dtype} and has no scale"
                yield Reason(
                    f"casts quantized codes without scaling them: {stored}",
                    Effect.WRONG_WEIGHTS,
                    tensor=module.name,
                    of_first=True,
                )
                return


def _is_plain(tree: Tree, module: Module, role: str) -> bool:
    """Whether a tensor is one that no quantizer stores as codes: a bias, a norm, a parameter."""
    dimensions = len(module.tensors[role].shape)
    if dimensions > 1:
        return dimensions == _OF_BANK and role.endswith("_bias")
    if role in ("weight", "bias"):
        return dimensions == 1
    if tree.takes and role.endswith(_OF_QUANTIZER):
        return False
    return module.weight is None and role not in SCALES and role not in tree.takes


def _scales(tree: Tree) -> Iterator[Reason]:
    """Scales that the checkpoint needs but the release does not load."""
    patterns = _dropped_kv_scales(tree)
    names, cache = [], False
    some_lack = bool(patterns or tree.family.spec.without_scales)
    for module in tree.checkpoint.modules.values() if some_lack else ():
        of_cache = [] if not patterns else _matching(module, patterns)
        lost = of_cache
        if tree.family.lacks_scales(module.name):
            lost = [n for role, n in module.tensor_names.items() if role not in ("weight", "bias")]
        names += lost
        cache = cache or not set(of_cache).isdisjoint(lost)
    if names:
        text = "does not load {}"
        if cache:
            text += f", and quantizes the KV cache with scales of {tree.runtime.kv_scale_if_absent}"
        yield about(tree, names, text, Effect.WRONG_WEIGHTS)


def _matching(module: Module, patterns: Sequence[str]) -> list[str]:
    """Tensors for a KV cache whose names match one of the patterns."""
    names = [module.tensor_names[role] for role in module.tensors if role in KV_ROLES]
    return [name for name in names if any(fnmatchcase(name, each) for each in patterns)]


def _dropped_kv_scales(tree: Tree) -> Sequence[str]:
    """Patterns of scales that the release does not load although it quantizes the KV cache.

    A release that loads every weight and drops these computes with other scales than the checkpoint
    has: what exceeds the range of FP8 is cut off. That is a no, although every weight is right.
    Unless the metadata declares a quantized cache in a way that the release reads, the cache keeps
    the dtype of the model and needs no scales.
    """
    runtime, expected = tree.runtime, tree.expected
    if not tree.kv_cache or runtime.always_takes_kv_scales or expected.stops_at_kv_scales:
        return ()
    return runtime.drops_kv_scales_at if expected.loads_kv_scales else ("*",)


def _stacked_experts(tree: Tree) -> Iterator[Reason]:
    for name, module in tree.checkpoint.modules.items():
        stacked = [n for r, n in module.tensor_names.items() if len(module.tensors[r].shape) == 3]
        if name.endswith(EXPERTS[:-1]) and stacked:
            cause = "it does not support experts stored as one tensor: {}"
            yield stop_at(tree, stacked, cause)
            return


def _inputs_first(tree: Tree) -> Iterator[Reason]:
    formats = tree.checkpoint.formats
    banks = [name for name in tree.places if is_inputs_first(formats[name])]
    if banks:
        cause = "it does not load quantized experts stored as [experts, in, out]: {}"
        yield stop_at(tree, banks, cause)
