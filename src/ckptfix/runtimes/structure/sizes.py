"""Weights whose size differs from the one that follows from config.json."""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.formats.stored import is_inputs_first
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.layout import size_in
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_EVERYWHERE: Final = {
    "embed_tokens": ("vocab_size", "hidden_size"),
    "input_layernorm": ("hidden_size",),
    "post_attention_layernorm": ("hidden_size",),
}
"""Sizes in language models of which no layout is known: modules that have these names have them."""
_OTHER_EMBEDDING: Final = ("embedding_size", "word_embed_proj_dim")
"""Keys of config.json with which embeddings have other sizes."""
_UNPACKED: Final = ("BF16", "F16", "F32", "F8_E4M3")


def size_reasons(tree: Tree) -> Iterator[Reason]:
    """Weights whose size differs from that of the class; for equal sizes the first."""
    yield from _biases(tree)
    seen: set[tuple[str, ...]] = set()
    for (within, _), module in tree.firsts.items():
        sizes, stored = _sizes_of(tree, within), stored_shape(tree, module)
        if not sizes or stored is None or sizes in seen:
            continue
        expected = tuple(size_in(size, tree.config) for size in sizes)
        alone = _is_alone(tree, module.name)
        if len(stored) == len(expected) and all(
            fits(tree, *sized, alone=alone and not number)
            for number, sized in enumerate(zip(sizes, stored, expected, strict=True))
        ):
            continue
        seen.add(sizes)
        text = mismatch(module.name, stored, expected)
        yield Reason.stop(text, tensor=module.name, of_first=True)
    yield from _parameters(tree)


def _parameters(tree: Tree) -> Iterator[Reason]:
    """Parameters outside of modules."""
    named = tree.layout.spec.sizes_of_parameters if tree.layout else {}
    for name, sizes in named.items() if tree.itself else ():
        module = tree.checkpoint.modules[tree.itself]
        tensor = module.tensors.get(name)
        expected = tuple(size_in(size, tree.config) for size in sizes)
        if tensor is None or all(
            wanted in (None, found) for wanted, found in zip(expected, tensor.shape, strict=False)
        ):
            continue
        yield Reason.stop(mismatch(module.tensor_names[name], tensor.shape, expected))


def stored_shape(tree: Tree, module: Module) -> tuple[int, ...] | None:
    """Shape of a module's weight; None without one, or where it is not known."""
    weight = module.weight
    if weight is None or _is_packed(tree, weight):
        return None
    stored = tree.checkpoint.formats[module.name]
    if is_inputs_first(stored):  # sizes of banks are listed as they are stored
        experts, out, columns = stored.logical_shape
        return experts, columns, out
    return stored.logical_shape or weight.shape


def _sizes_of(tree: Tree, within: str) -> tuple[str, ...]:
    """How config.json defines each dimension of a weight; empty if that is not known."""
    if tree.layout is not None:
        others = any(tree.config.values.get(key) is False for key in tree.layout.spec.sizes_need)
        return () if others else tree.layout.sizes_of(within)
    if any(tree.config.values.get(key) for key in _OTHER_EMBEDDING):
        return ()
    return _EVERYWHERE.get(within, ())


def _biases(tree: Tree) -> Iterator[Reason]:
    """The first bias whose length is not the number of rows of its weight."""
    for module in tree.firsts.values():
        weight, bias = module.weight, module.tensors.get("bias")
        if weight is None or bias is None or not weight.shape or bias.shape == weight.shape[:1]:
            continue
        if _is_packed(tree, weight):
            continue
        shape = f"{visible(module.tensor_names['bias'])} is {_shown(bias.shape)}"
        text = f"{shape}, but its weight has {weight.shape[0]:,} rows"
        yield Reason.stop(text, of_first=True)
        return


def _is_packed(tree: Tree, weight: Tensor) -> bool:
    """True for packed codes of a quantizer, whose shape is not that of the weight."""
    return bool(tree.takes) and weight.dtype not in _UNPACKED


def fits(tree: Tree, size: str, stored: int, expected: int | None, *, alone: bool = False) -> bool:
    """Whether a dimension is as config.json implies, or does no harm.

    Args:
        tree: the checkpoint.
        size: how config.json defines it.
        stored: what it is.
        expected: what it should be, if that is known.
        alone: it is the rows of a projection that is built without a gate next to it: SGLang does
            not pad those (sglang 0.5.23: sglang/srt/layers/parameter.py,
            `load_column_parallel_weight`).
    """
    padded = tree.runtime.pads_short_mlps and "intermediate_size" in size and not alone
    return expected is None or stored == expected or (padded and stored < expected)


def _is_alone(tree: Tree, name: str) -> bool:
    parent, _, last = name.rpartition(".")
    gated = f"{parent}.gate_proj" in tree.checkpoint.modules
    return last == "up_proj" and not gated and EXPERTS not in name


def mismatch(name: str, stored: tuple[int, ...], expected: tuple[int | None, ...]) -> str:
    """What is said of a tensor or a module of another size."""
    return f"{visible(name)} is {_shown(stored)}, but config.json implies {_shown(expected)}"


def _shown(shape: tuple[int | None, ...]) -> str:
    return " x ".join("?" if size is None else f"{size:,}" for size in shape)
