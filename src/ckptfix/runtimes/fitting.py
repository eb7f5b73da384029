"""Whether a module's tensors fill what a release builds for its quant_algo.

The right algorithm is not enough: group size, required scales and possible shapes of a layer depend
on the release.

Sources: vLLM 0.33.0, vllm/model_executor/layers/quantization/modelopt.py (`create_weights` of each
scheme), vllm/model_executor/parameter.py; SGLang 0.5.23,
sglang/srt/layers/quantization/{modelopt_quant,fp8}.py.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.common.objects import kind_of
from ckptfix.runtimes.interface import Runtime
from ckptfix.text import visible

_BLOCK: Final = 128
_SCALE: Final = "weight_scale"


class Layer(Struct, frozen=True):
    """A layer as a release builds it."""

    runtime: Runtime
    quant_algo: str
    group_size: object
    """For NVFP4 layers, as the release stores it."""
    reads_scales: tuple[str, ...] = ()
    """Roles of scales that its model class renames to the one that the layer has."""

    def scale_misfit(self, stored: StoredFormat) -> str:
        """Why the scales of a module are not found; empty if they are."""
        fit = stored.fit(self.quant_algo)
        role = fit.format.scale if fit else _SCALE
        named = self.runtime.scale_names.get(self.quant_algo, _SCALE)
        if role in (named, *self.reads_scales):
            return ""
        return (
            f"{self.runtime.name} expects the scale of {self.quant_algo} as {named}, but {role} "
            "is stored"
        )


def misfit(layer: Layer, checkpoint: Checkpoint, members: Sequence[str]) -> str:
    """Why the tensors of a module do not fill the layer; empty when they do.

    Args:
        layer: the layer.
        checkpoint: the tensors.
        members: checkpoint names of the modules that end in the layer, all stored as it is built.
    """
    resolved = layer.quant_algo
    for member in members:
        stored, module = checkpoint.formats[member], checkpoint.modules[member]
        if why := layer.scale_misfit(stored):
            return why
        if "NVFP4" in resolved and (why := _group_misfit(layer, stored, module)):
            return why
        if resolved == "FP8" and stored.weight_only:
            return f"{visible(member)} has no input_scale, which this release requires"
        if resolved == "FP8_PB_WO" and (why := _block_misfit(stored, module)):
            return why
    return ""


def group_error(group_size: object) -> str:
    """Why no NVFP4 layer can be built with such groups; empty when one can."""
    if not isinstance(group_size, int):
        return f"group_size is {kind_of(group_size)}, not a number"
    return "" if group_size > 0 else f"group_size is {group_size}"


def _group_misfit(layer: Layer, stored: StoredFormat, module: Module) -> str:
    group_size, scale, fit = layer.group_size, module.tensors.get(_SCALE), stored.fit("NVFP4")
    if not isinstance(group_size, int) or scale is None or not scale.shape:
        return ""
    columns = stored.logical_shape[-1]
    along = -2 if fit is not None and fit.format.codes.transposed else -1
    number = scale.shape[along]
    if columns // group_size == number:
        return ""
    found = columns // number if number else 0
    return f"this release builds it with groups of {group_size}, but groups of {found} are stored"


def _block_misfit(stored: StoredFormat, module: Module) -> str:
    columns = stored.logical_shape[-1]
    if columns % _BLOCK:
        return (
            f"it has {columns:,} input features, but this release requires a multiple of {_BLOCK}"
        )
    scale = module.tensors.get(_SCALE)
    if scale is not None and not scale.shape:
        return "its weight_scale is a single number, but this release requires one per block"
    return ""
