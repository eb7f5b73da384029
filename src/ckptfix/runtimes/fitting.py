"""Whether a module's tensors fill what a release builds for its quant_algo.

That the algorithm is the right one is not enough: the group size, the scales that are needed and
the shapes that a layer can have are the release's own.

Sources: vLLM 0.33.0, vllm/model_executor/layers/quantization/modelopt.py (`create_weights` of each
scheme), vllm/model_executor/parameter.py; SGLang 0.5.23,
sglang/srt/layers/quantization/{modelopt_quant,fp8}.py.
"""

from collections.abc import Sequence
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.reading.objects import kind_of
from ckptfix.text import visible

_BLOCK: Final = 128
_NATIVE_FP8: Final = frozenset({"MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES"})
"""Formats for which SGLang builds its own FP8 layer, whose scale is called weight_scale_inv."""


def misfit(
    runtime: str, resolved: str, group_size: object, checkpoint: Checkpoint, members: Sequence[str]
) -> str:
    """Why the tensors of a module do not fill the layer; empty when they do.

    Args:
        runtime: `vllm` or `sglang`.
        resolved: the quant_algo that the release builds.
        group_size: of NVFP4 layers, as the release holds it.
        checkpoint: the tensors.
        members: checkpoint names of the modules that end in the layer, all stored as `resolved`.
    """
    if runtime == "sglang" and resolved in _NATIVE_FP8:
        return f"{runtime} calls the scale of {resolved} weight_scale_inv, stored is weight_scale"
    for member in members:
        stored, module = checkpoint.formats[member], checkpoint.modules[member]
        if "NVFP4" in resolved and (why := _group_misfit(group_size, stored, module)):
            return why
        if resolved == "FP8" and stored.weight_only:
            return f"{visible(member)} has no input_scale, which this release needs"
        if resolved == "FP8_PB_WO" and (why := _block_misfit(stored, module)):
            return why
    return ""


def group_error(group_size: object) -> str:
    """Why no NVFP4 layer can be built with such groups; empty when one can."""
    if not isinstance(group_size, int):
        return f"group_size is {kind_of(group_size)}, not a number"
    return "" if group_size > 0 else f"group_size is {group_size}"


def _group_misfit(group_size: object, stored: StoredFormat, module: Module) -> str:
    scale = module.tensors.get("weight_scale")
    if not isinstance(group_size, int) or scale is None or not scale.shape:
        return ""
    columns = stored.logical_shape[-1]
    if columns // group_size == scale.shape[-1]:
        return ""
    found = columns // scale.shape[-1] if scale.shape[-1] else 0
    return f"this release builds it with groups of {group_size}, stored are groups of {found}"


def _block_misfit(stored: StoredFormat, module: Module) -> str:
    columns = stored.logical_shape[-1]
    if columns % _BLOCK:
        return f"it has {columns:,} input features, this release needs a multiple of {_BLOCK}"
    scale = module.tensors.get("weight_scale")
    if scale is not None and not scale.shape:
        return "its weight_scale is a single number, this release needs one per block"
    return ""
