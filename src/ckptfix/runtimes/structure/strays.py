"""Tensors that no module of a release takes."""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.roles import KV_ROLES, SCALES
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree, ordered, some
from ckptfix.text import visible

_ROLES: Final = frozenset(
    {"weight", "bias", "weight_scale", "weight_scale_2", "input_scale", "pre_quant_scale"}
    | {"svdquant_lora_a", "svdquant_lora_b", "e_score_correction_bias", *KV_ROLES}
)
"""What a linear layer may hold; whether its format may is for the stored format to decide."""

_CODES: Final = ("F8_E4M3", "F8_E5M2", "U8", "I8")
_ATTENDS: Final = ("q_proj", "k_proj", "v_proj", "qkv_proj", "attn")
"""Linear layers beside which scales of a KV cache are stored."""


def stray_reasons(tree: Tree) -> Iterator[Reason]:
    """Modules, parameters, biases and scales that nothing takes."""
    lost = [name for name, place in tree.places.items() if not _is_taken(tree, name, place)]
    if lost:
        told = f"builds no module for {some(lost)}"
        yield Reason(told, tree.stops, tensor=ordered(lost)[0])
    odd = [name for part in (tree, *tree.towers) for name in _odd_parameters(part)]
    if odd:
        told = f"has no parameter for {some(odd)}"
        yield Reason(told, tree.stops, tensor=ordered(odd)[0])
    yield from _codes(tree)
    yield from _scales(tree)
    if tree.family.spec.refuses_stacked_experts and tree.has_config:
        yield from _stacked_experts(tree)


def _is_taken(tree: Tree, name: str, place: str) -> bool:
    if not tree.family.takes(name):
        return False
    parts = [part for part in (tree, *tree.towers) if name in part.below]
    if not parts:
        below = f"{tree.base}."
        drafted = place.startswith(below) and tree.is_draft(place.removeprefix(below))
        return drafted or tree.family.may_hold_outside(place)
    return all(part.layout is None or part.layout.may_hold(part.below[name]) for part in parts)


def _odd_parameters(tree: Tree) -> Iterator[str]:
    """Tensors of linear layers that are not among those of a linear layer, and biases too many."""
    layout = tree.layout
    for name, place in tree.below.items():
        module = tree.checkpoint.modules[name]
        weight = module.weight
        if layout is None or weight is None:
            continue
        linear = len(weight.shape) == 2
        biased = layout.has_bias(tree.within(place), tree.config)
        attends = place.rpartition(".")[2] in _ATTENDS
        for role, tensor in module.tensor_names.items():
            odd = role not in _ROLES | tree.takes or (role in KV_ROLES and not attends)
            if (role == "bias" and biased is False and not tree.takes) or (linear and odd):
                yield tensor


def _codes(tree: Tree) -> Iterator[Reason]:
    """Vectors and parameters that are stored in codes; a release casts them to what it builds."""
    for name in tree.below if not tree.takes else ():
        module = tree.checkpoint.modules[name]
        for role, tensor in module.tensors.items():
            vector = len(tensor.shape) == 1 and role in ("weight", "bias")
            loose = module.weight is None and role not in SCALES
            if tensor.dtype in _CODES and (vector or loose) and len(tensor.shape) < 2:
                told = f"{visible(module.tensor_names[role])} is {tensor.dtype}"
                told = f"casts it to what it builds: {told}, and no scale belongs to it"
                yield Reason(told, Effect.WRONG_WEIGHTS, tensor=name)
                return


def _scales(tree: Tree) -> Iterator[Reason]:
    """Scales that the release needs and looks for nowhere."""
    roles = set(KV_ROLES) if _needs_kv_scales(tree) else set()
    names = []
    for module in tree.checkpoint.modules.values():
        lost = roles
        if tree.family.lacks_scales(module.name):
            lost = set(module.tensors) - {"weight", "bias"}
        names += [module.tensor_names[role] for role in module.tensors if role in lost]
    if names:
        told = f"does not load {some(names)}"
        yield Reason(told, Effect.WRONG_WEIGHTS, tensor=ordered(names)[0])


def _needs_kv_scales(tree: Tree) -> bool:
    """It quantizes the cache and leaves the scales for it out.

    Where the metadata announce no quantized cache in a way that it reads, it keeps the cache in the
    model's dtype, and nothing is lost with the scales.
    """
    takes = tree.runtime.always_takes_kv_scales or tree.family.spec.kv_scales
    return tree.kv_cache and not takes


def _stacked_experts(tree: Tree) -> Iterator[Reason]:
    for name, module in tree.checkpoint.modules.items():
        stacked = [n for r, n in module.tensor_names.items() if len(module.tensors[r].shape) == 3]
        if name.endswith(EXPERTS[:-1]) and stacked:
            told = f"stops: it does not support experts stored as one tensor: {some(stacked)}"
            yield Reason(told, Effect.STOPS, tensor=stacked[0])
            return
