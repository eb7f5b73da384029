"""Tensors of a module, other than its weight, for which the class has no parameter."""

import re
from collections.abc import Iterator, Set
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES, NAMES_OF_MODELS, OUTPUT_SCALE, ROLES
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.learned.parameters import parameters_of, tensors_of
from ckptfix.runtimes.learned.table import mask
from ckptfix.runtimes.structure.beside_known import (
    classes_of,
    instead_of_weight,
    never_biased,
    never_built,
)
from ckptfix.runtimes.structure.tree import Tree

_QUANTIZED: Final = frozenset(
    {"weight_scale", "weight_scale_2", "input_scale", "pre_quant_scale"}
    | {"svdquant_lora_a", "svdquant_lora_b"}
)
"""Roles that a quantized layer may have; its stored format decides which of them it needs."""
OF_QUERIES: Final = ("q_scale", "q_zero_point", "k_zero_point", "v_zero_point")
OF_CACHE: Final = ("kv_scale", *OF_QUERIES)
"""Further tensors that quantizers store for attention over a quantized cache. vLLM takes the first
two and skips the others (vllm 0.33.0, vllm/model_executor/layers/quantization/base_config.py)."""
_JUDGED_ELSEWHERE: Final = frozenset(
    {role.name for role in ROLES if not role.of_models} | {OUTPUT_SCALE, *OF_CACHE}
)
"""Roles of the tensors of quantized layers: `companions` and `parts` have what becomes of them."""
_OF_BANKS: Final = re.compile(r"proj|linear|w[123]")
_OUTPUTS: Final = ("k_proj", "v_proj")
"""The same for the scale that Quark stores for the outputs of a layer."""
_ATTENDS: Final = ("k_proj", "v_proj", "qkv_proj", "attn")
"""Last parts of names of modules that may have scales of the KV cache."""


def stray_tensors(tree: Tree) -> Iterator[str]:
    """Scales without codes, misplaced scales of a KV cache, biases that are never added.

    Both runtimes only look for scales of the KV cache next to keys and values (vllm 0.33.0,
    vllm/model_executor/model_loader/weight_utils.py; sglang 0.5.23,
    sglang/srt/model_loader/weight_utils.py, `maybe_remap_kv_scale_name`).
    """
    if tree.layout is None:
        return
    unbiased = {*tree.layout.spec.beside_layers, *tree.layout.spec.in_every_layer}
    layout, zeros = tree.layout, _stores_zeros(tree)

    def strays(within: str, module: Module) -> list[str]:
        if module.weight is None:
            return _without_weight(tree, layout, module)
        if len(module.tensors) < 2:
            return []
        of_format = _of_format(tree, module.name)
        biased = within not in unbiased and not never_biased(tree, module.name)
        biased = biased or (bool(tree.tower) and layout.may_be_biased(within))
        taken = _taken(tree, layout, within, of_format, biased=biased)
        if zeros and _is_packed(module):
            taken |= {"bias"}
        return [role for role in module.tensors if role not in taken]

    for name, role in tree.each(strays):
        yield tree.checkpoint.modules[name].tensor_names[role]
    if not tree.tower:
        yield from _beside_heads(tree)
        yield from _outside_modules(tree, layout)


def _without_weight(tree: Tree, layout: Layout, module: Module) -> list[str]:
    """Roles of parameters of a block, as attention, that its class does not have.

    A block contains modules: one that stores tensors of its own but no weight may lack it, which
    is reported as such, as is a block that the class does not build.
    """
    odd = _unknown(tree, layout, module)
    place = tree.below[module.name]
    if EXPERTS in f".{place}.":  # what a bank holds in one tensor is judged as such
        odd = [role for role in odd if not _OF_BANKS.search(role)]
    is_known = layout.may_hold(place)
    inside = f"{place}."
    if not odd or not is_known:
        return []
    named = f"{module.name}."
    is_block = any(n.startswith(named) or at.startswith(inside) for n, at in tree.below.items())
    if is_block or never_built(tree, module.name):
        return odd
    return [role for role in odd if instead_of_weight(tree, module, role)]


def is_under_another_name(tree: Tree, layout: Layout, module: Module) -> bool:
    """Whether all that a module without a weight has is of a name that no layout knows.

    Then that is its weight as another library calls it, `gamma`, or a part of it, `weight_g`.
    """
    place = tree.below[module.name]
    if not layout.spec.modules or not layout.may_hold(place) or EXPERTS in f".{place}.":
        return False
    known = {*_JUDGED_ELSEWHERE, *NAMES_OF_MODELS, *KV_ROLES, *tree.takes, *layout.parameters}
    known |= parameters_of(tree.family.spec.runtime, classes_of(tree)) or frozenset()
    inside = f"{place}."
    return known.isdisjoint(module.tensors) and not any(
        at.startswith(inside) for at in tree.below.values()
    )


def _outside_modules(tree: Tree, layout: Layout) -> Iterator[str]:
    """Tensors without a dot in their name, which are part of no module."""
    module = tree.checkpoint.modules.get("")
    if module is None or not tree.base:
        return
    known = tensors_of(tree.family.spec.runtime, classes_of(tree))
    unknown = _unknown(tree, layout, module)
    if known:
        elsewhere = {*_JUDGED_ELSEWHERE, *tree.takes, *layout.spec.top_parameters}
        unknown = [role for role in module.tensors if role not in elsewhere | known]
    yield from (module.tensor_names[role] for role in unknown)


def _unknown(tree: Tree, layout: Layout, module: Module) -> list[str]:
    elsewhere = _JUDGED_ELSEWHERE | tree.takes - set(NAMES_OF_MODELS)
    odd = [r for r in module.tensors if r not in elsewhere]
    odd = [r for r in odd if r not in layout.parameters]
    if not odd:
        return []
    needed, block = _needed(tree), mask(module.name)
    odd = [role for role in odd if f"{block}.{role}" not in needed]
    known = parameters_of(tree.family.spec.runtime, classes_of(tree))
    return [] if known is None else [role for role in odd if role not in known]


def _needed(tree: Tree) -> Set[str]:
    """What layers have for this config, where that was read in the class."""
    written = tree.expected.by_config
    held = written.modules(tree.flat) if written is not None else ()
    return {name for spec in held for name in spec.needs}


def _of_format(tree: Tree, name: str) -> frozenset[str]:
    """Roles that a quantized module may have, with the name that the release uses for its scale.

    Layers of FP8 blocks have a parameter `weight_scale_inv` in both runtimes, those of MXFP8 in
    SGLang (sglang 0.5.23, sglang/srt/layers/quantization/fp8.py).
    """
    stored, weight = tree.checkpoint.formats[name], tree.checkpoint.modules[name].weight
    is_vector = weight is not None and len(weight.shape) < 2
    if is_vector or not stored.is_quantized:
        return frozenset()
    named = tree.runtime.scale_names
    own = {f.format.scale for f in stored.fits if named.get(f.quant_algo) == f.format.scale}
    return _QUANTIZED | own if own else _QUANTIZED


def _taken(
    tree: Tree, layout: Layout, within: str, of_format: frozenset[str], *, biased: bool
) -> frozenset[str]:
    """Roles of the tensors that a module with a weight may have.

    Args:
        tree: the checkpoint.
        layout: of the part that the module is in.
        within: its name in the layout.
        of_format: roles that it may have because of its stored format.
        biased: whether it may have a bias if the layout does not define it.
    """
    last = within.rpartition(".")[2]
    taken = {"weight", "g_idx", *tree.takes, *layout.parameters_with(within)}
    taken.update(tree.family.spec.reads_scales, of_format)
    taken.update(KV_ROLES if last in _ATTENDS else ())
    if last in _OUTPUTS and tree.kv_cache and tree.runtime.reads_output_scales:
        taken.update((OUTPUT_SCALE,) if tree.expected.loads_kv_scales else ())
    has_bias = layout.has_bias(within, tree.config)
    if biased if has_bias is None else has_bias:
        taken.add("bias")
    return frozenset(taken)


def _stores_zeros(tree: Tree) -> bool:
    """Whether biases that are never added do no harm: GPTQ stores one of zeros for every layer.

    vLLM passes over them (vllm 0.33.0, vllm/model_executor/models/utils.py
    `AutoWeightsLoader.load_weights`), as SGLang over all that it has no parameter for. One that
    only some layers have comes from the model.
    """
    if not tree.takes or f"{tree.tower}.".startswith(tree.family.spec.drops_below):
        return False
    return all("bias" in module.tensors for module in tree.firsts.values() if _is_packed(module))


def _is_packed(module: Module) -> bool:
    return "qweight" in module.tensors


def _beside_heads(tree: Tree) -> Iterator[str]:
    """A head has a weight, and the scales of its codes."""
    for name in tree.heads:
        module = tree.checkpoint.modules[name]
        taken = {"weight", "g_idx", *tree.takes, *_of_format(tree, name)}
        yield from (tensor for role, tensor in module.tensor_names.items() if role not in taken)
