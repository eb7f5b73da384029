"""Weights of another size than config.json makes of them."""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.layout import size_in
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_WHOLE: Final = ("BF16", "F16", "F32", "F8_E4M3")


def size_reasons(tree: Tree) -> Iterator[Reason]:
    """The first weight of every kind that does not have the size that the class gives it."""
    yield from _biases(tree)
    if tree.layout is None:
        return
    seen: set[tuple[str, ...]] = set()
    for name, place in tree.below.items():
        sizes = tree.layout.sizes_of(tree.within(place))
        weight = tree.checkpoint.modules[name].weight
        if not sizes or weight is None or sizes in seen or _is_packed_otherwise(tree, weight):
            continue
        wanted = tuple(size_in(size, tree.config) for size in sizes)
        stored = tree.checkpoint.formats[name].logical_shape or weight.shape
        if len(stored) == len(wanted) and all(
            _fits(tree, *one) for one in zip(sizes, stored, wanted, strict=True)
        ):
            continue
        seen.add(sizes)
        told = f"{visible(name)} is {_shown(stored)}, but config.json makes it {_shown(wanted)}"
        yield Reason(f"stops: {told}", Effect.STOPS, tensor=name)


def _biases(tree: Tree) -> Iterator[Reason]:
    """A bias has as many numbers as its weight has rows."""
    for name in tree.below:
        module = tree.checkpoint.modules[name]
        weight, bias = module.weight, module.tensors.get("bias")
        if weight is None or bias is None or not weight.shape or bias.shape == weight.shape[:1]:
            continue
        if _is_packed_otherwise(tree, weight):
            continue
        told = f"{visible(module.tensor_names['bias'])} is {_shown(bias.shape)}"
        yield Reason(f"stops: {told}, but its weight has {weight.shape[0]:,} rows", Effect.STOPS)
        return


def _is_packed_otherwise(tree: Tree, weight: Tensor) -> bool:
    """True for codes of another quantizer, whose shape says little."""
    return bool(tree.takes) and weight.dtype not in _WHOLE


def _fits(tree: Tree, size: str, stored: int, wanted: int | None) -> bool:
    padded = tree.runtime.pads_short_mlps and "intermediate_size" in size
    return wanted is None or stored == wanted or (padded and stored < wanted)


def _shown(shape: tuple[int | None, ...]) -> str:
    return " x ".join("?" if size is None else f"{size:,}" for size in shape)
