"""Tensors of a module beside its weight that the class has no parameter for."""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.roles import KV_ROLES
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.structure.tree import Tree

_QUANTIZED: Final = frozenset(
    {"weight_scale", "weight_scale_2", "input_scale", "pre_quant_scale"}
    | {"svdquant_lora_a", "svdquant_lora_b"}
)
"""Roles that a quantized layer may have; its stored format decides which of them it needs."""
_ROUTERS: Final = ("gate", "router")
_ATTENDS: Final = ("k_proj", "v_proj", "qkv_proj", "attn")
"""Last parts of names of modules that may have scales of the KV cache."""


def stray_tensors(tree: Tree) -> Iterator[str]:
    """Scales without codes, scales of a cache that is elsewhere, biases that nothing adds.

    Both runtimes look for scales of the KV cache beside keys and values only (vllm 0.33.0,
    vllm/model_executor/model_loader/weight_utils.py; sglang 0.5.23,
    sglang/srt/model_loader/weight_utils.py, `maybe_remap_kv_scale_name`).
    """
    if tree.layout is None:
        return
    unbiased = {*tree.layout.spec.beside_layers, *tree.layout.spec.in_every_layer}
    for name, place in tree.below.items():
        module = tree.checkpoint.modules[name]
        if module.weight is not None and len(module.tensors) > 1:
            within = tree.within(place)
            yield from _strays(tree, tree.layout, module, within, biased=within not in unbiased)
    if not tree.tower:
        yield from _beside_heads(tree)


def _strays(
    tree: Tree, layout: Layout, module: Module, within: str, *, biased: bool
) -> Iterator[str]:
    """Tensors of one module.

    Args:
        tree: the checkpoint.
        layout: of the part that the module is in.
        module: the module, with a weight.
        within: its name in the layout.
        biased: whether it may have a bias where the layout does not say.
    """
    last = within.rpartition(".")[2]
    quantized = tree.checkpoint.formats[module.name].is_quantized
    taken = {"weight", *tree.takes, *layout.parameters_with(within)}
    taken.update(tree.family.spec.reads_scales, _QUANTIZED if quantized else ())
    taken.update(KV_ROLES if last in _ATTENDS else ())
    taken.update(("e_score_correction_bias",) if last in _ROUTERS else ())
    has_bias = layout.has_bias(within, tree.config)
    if tree.takes or (biased if has_bias is None else has_bias):
        taken.add("bias")
    yield from (tensor for role, tensor in module.tensor_names.items() if role not in taken)


def _beside_heads(tree: Tree) -> Iterator[str]:
    """A head has a weight, and the scales of its codes."""
    for name in tree.heads:
        module = tree.checkpoint.modules[name]
        quantized = tree.checkpoint.formats[name].is_quantized
        taken = {"weight", *tree.takes, *(_QUANTIZED if quantized else ())}
        yield from (tensor for role, tensor in module.tensor_names.items() if role not in taken)
