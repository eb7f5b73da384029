"""Weights whose size differs from the one that follows from config.json."""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.formats.stored import is_inputs_first
from ckptfix.checkpoint.modules import Module
from ckptfix.checkpoint.safetensors import Tensor
from ckptfix.runtimes.learned.sizes import CUT, PADDED, STOPS, SizeRow
from ckptfix.runtimes.learned.table import mask
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.size_expressions import size_in
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
_JOINED: Final = "gate_up_proj"
_AXIS: Final = {
    **dict.fromkeys(("gate_proj", "up_proj", _JOINED, "w1", "w3", "fc1", "linear_fc1"), 0),
    **dict.fromkeys(("down_proj", "fc2", "linear_fc2"), 1),
}
"""Part of an MLP -> the dimension that it shares with the others; `w2` differs between models."""
_OF_HEADS: Final = (
    *("o_proj", "out_proj", "proj", "dense", "x_proj"),
    *("in_proj_z", "in_proj_a", "in_proj_b"),
)
"""Projections of attention and Mamba. Zeros in one of them leave out heads that the rest of the
layer stores; those of an MLP whose parts are short alike change no result."""
FILLED_UP: Final = "fills it up with zeros"
Sizes = tuple[int | None, ...]
_MATRIX: Final = 2
_GROUPED: Final = ("NVFP4", "NVFP4_AWQ", "W4A16_NVFP4")
_GROUP: Final = 16
"""Formats whose layers refuse a group that is not whole, and the codes in one."""
_UNPACKED: Final = ("BF16", "F16", "F32", "F8_E4M3")


def size_reasons(tree: Tree) -> Iterator[Reason]:
    """Weights whose size differs from that of the class; for equal sizes the first."""
    yield from _biases(tree)
    seen: set[tuple[str, ...]] = set()
    for (within, _), module in tree.firsts.items():
        sizes, stored = _sizes_of(tree, within), stored_shape(tree, module)
        if not sizes or sizes in seen:
            continue
        expected = tuple(size_in(size, tree.config) for size in sizes)
        if stored is None:
            if reason := packed_reason(tree, module, expected):
                seen.add(sizes)
                yield reason
            continue
        if len(stored) == len(expected) and all(
            _fits(tree, module, axis, size, wanted)
            for axis, (size, wanted) in enumerate(zip(sizes, expected, strict=True))
        ):
            continue
        seen.add(sizes)
        yield _reason(tree, module, stored, expected)
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


def _reason(tree: Tree, module: Module, stored: tuple[int, ...], expected: Sizes) -> Reason:
    learned, tensor = tree.expected.sizes, module.tensor_names.get("weight", "")
    row = learned.row_of.get(mask(tensor)) if learned is not None else None
    is_same = row is not None and len(row.larger) == len(stored) == len(expected)
    found = misfit(tree, row, module, stored, expected) if row is not None and is_same else None
    if found is not None:
        return found
    return Reason.stop(mismatch(module.name, stored, expected), tensor=module.name, of_first=True)


def misfit(
    tree: Tree,
    row: SizeRow,
    module: Module,
    stored: tuple[int, ...],
    expected: Sizes,
    *,
    name: str = "",
) -> Reason | None:
    """What becomes of a tensor in whose place the class expects one of another size; None: no harm.

    Args:
        tree: the checkpoint.
        row: what the class was seen to do.
        module: whose tensor it is.
        stored: its shape.
        expected: that of the class.
        name: of the tensor, where it is not the weight.
    """
    name = name or module.name
    other = {
        found: (row.larger if found > wanted else row.smaller)[axis]
        for axis, (found, wanted) in enumerate(zip(stored, expected, strict=True))
        if wanted is not None and found != wanted
    }
    effects, text = set(other.values()), mismatch(name, stored, expected)
    refused = any(_splits_group(tree, module, *each) for each in enumerate(expected))
    if STOPS in effects or (effects and refused):
        return Reason.stop(text, tensor=name, of_first=True)
    if CUT in effects:
        text = f"loads only a part: {text}"
    elif PADDED in effects and (
        module.name.rpartition(".")[2] in _OF_HEADS
        or module.weight is None
        or not all(is_short_alike(tree, module, size) for size in other)
    ):
        text = f"{FILLED_UP}: {text}"
    else:
        return None
    return Reason(text, Effect.WRONG_WEIGHTS, tensor=name, of_first=True)


def stored_shape(tree: Tree, module: Module) -> tuple[int, ...] | None:
    """Shape of a module's weight; None without one, or where it is not known."""
    weight = module.weight
    if weight is None or _is_packed(tree, weight):
        return None
    stored = tree.checkpoint.formats[module.name]
    if stored.problem and weight.dtype not in _UNPACKED:
        return None  # codes of a format that is not known: the tensors are reported
    if is_inputs_first(stored):  # sizes of banks are listed as they are stored
        experts, out, columns = stored.logical_shape
        return experts, columns, out
    return stored.logical_shape or weight.shape


def packed_reason(tree: Tree, module: Module, expected: Sizes) -> Reason | None:
    """Outputs of a matrix of packed codes; its inputs depend on the bits of each code.

    The tensors alone may fit formats of several numbers of bits. Both loaders take the first
    outputs of a larger tensor, and stop where there are too few (vllm 0.33.0, sglang 0.5.23).
    """
    fits = tree.checkpoint.formats[module.name].fits
    rows = {fit.logical_shape[0] for fit in fits if len(fit.logical_shape) == _MATRIX}
    if len(rows) != 1 or len(expected) != _MATRIX or expected[0] in (None, *rows):
        return None
    [stored], wanted = rows, expected[0] or 0
    text = f"{visible(module.name)} has {stored:,} outputs, but config.json implies {wanted:,}"
    if stored < wanted:
        return Reason.stop(text, tensor=module.name, of_first=True)
    text = f"loads only a part: {text}"
    return Reason(text, Effect.WRONG_WEIGHTS, tensor=module.name, of_first=True)


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


def _fits(tree: Tree, module: Module, axis: int, size: str, expected: int | None) -> bool:
    """Whether a dimension is as config.json implies, or does no harm.

    SGLang fills an MLP up with zeros, but not the rows of a projection without a gate next to it
    (sglang 0.5.23: sglang/srt/layers/parameter.py, `load_column_parallel_weight`).

    Args:
        tree: the checkpoint.
        module: whose weight it is.
        axis: number of the dimension.
        size: how config.json defines it.
        expected: what it should be, if that is known.
    """
    stored = (stored_shape(tree, module) or ())[axis]
    if expected is None or stored == expected:
        return True
    pads = tree.runtime.pads_short_mlps and "intermediate_size" in size
    alone = axis == 0 and _is_alone(tree, module.name)
    pads = pads and not _splits_group(tree, module, axis, expected)
    return pads and not alone and stored < expected and is_short_alike(tree, module, stored)


def _splits_group(tree: Tree, module: Module, axis: int, expected: int | None) -> bool:
    """Whether a layer of so many inputs would have a group of codes that is not whole.

    SGLang, which fills layers up, stops at one while it builds the layer (sglang 0.5.23,
    sglang/srt/layers/quantization/modelopt_quant.py, `create_weights`).
    """
    if axis != 1 or not expected or EXPERTS in module.name:
        return False
    fits = tree.checkpoint.formats[module.name].fits
    return bool(fits) and fits[0].quant_algo in _GROUPED and expected % _GROUP != 0


def is_short_alike(tree: Tree, module: Module, size: int) -> bool:
    """Whether all parts of an MLP have a size: otherwise zeros leave out what the others store.

    Args:
        tree: the checkpoint.
        module: a part.
        size: of a dimension of it; joined projections have twice that.
    """
    parent, _, last = module.name.rpartition(".")
    single = size // 2 if last == _JOINED else size
    for name, axis in _AXIS.items():
        part = tree.checkpoint.modules.get(f"{parent}.{name}")
        shape = stored_shape(tree, part) if part is not None else None
        wanted = 2 * single if name == _JOINED else single
        if shape and not shape[2:] and shape[axis : axis + 1] != (wanted,):
            return False
    return True


def _is_alone(tree: Tree, name: str) -> bool:
    parent, _, last = name.rpartition(".")
    gated = f"{parent}.gate_proj" in tree.checkpoint.modules
    return last == "up_proj" and not gated and EXPERTS not in name


def mismatch(name: str, stored: tuple[int, ...], expected: tuple[int | None, ...]) -> str:
    """What is said of a tensor or a module of another size."""
    return f"{visible(name)} is {_shown(stored)}, but config.json implies {_shown(expected)}"


def _shown(shape: tuple[int | None, ...]) -> str:
    return " x ".join("?" if size is None else f"{size:,}" for size in shape)
