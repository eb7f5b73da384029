"""GEMMs of torch itself: `torch.nn.functional.scaled_mm` with its recipes, and INT8."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import pad

from ckptfix.checkpoint.formats.format import Gemm
from ckptfix.verifying.backends.needs import why_not
from ckptfix.verifying.backends.swizzle import swizzled
from ckptfix.verifying.dequantize.activations import Activations
from ckptfix.verifying.dequantize.fp4 import pack
from ckptfix.verifying.device import Device
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer
from ckptfix.verifying.stored import ROW_BLOCK

_TOKENS = 32
"""Inputs are padded to a multiple of this many rows: the strictest GEMM, INT8 on CUDA, requires at
least 17, and blocks of 128 require a multiple of 4."""
_Operands = tuple[Tensor, Tensor, Tensor]
"""Codes of the input, its scales, the weight's scales."""


class TorchBackend:
    """The GEMMs of torch."""

    name = "torch"
    tolerance = 0.01

    @staticmethod
    def missing() -> str:
        """Why it cannot be used: a torch that is too old."""
        if hasattr(functional, "scaled_mm"):
            return ""
        return f"torch {torch.__version__} has no scaled_mm; it needs 2.10 or later"

    def why_not(self, layer: Layer, device: Device) -> str:
        """Checks the format, the device, and the shapes that the GEMM takes."""
        row = layer.format
        gemm = row.gemm
        if gemm is None:
            return f"torch has no GEMM for {row.sides}"
        if row.inputs.static and layer.input_scale is None:
            return (
                f"{row.quant_algo} without input_scale is weight-only, and torch has no such GEMM"
            )
        return (
            why_not(gemm.gpu, row.quant_algo, device)
            or _cpu_problem(gemm, device)
            or _shape_problem(layer, gemm, device)
        )

    @staticmethod
    def kernel(layer: Layer) -> str:
        """The call and its recipe."""
        return GEMMS[_recipe(layer)][0]

    @staticmethod
    def run(layer: Layer, given: Input) -> Tensor:
        """The one GEMM of the format."""
        tokens = given.x.shape[0]
        return GEMMS[_recipe(layer)][1](layer, _filled_up(given.activations))[:tokens]


def _recipe(layer: Layer) -> str:
    if layer.format.gemm is None:
        raise ValueError("the two sides differ")  # `why_not` has refused it
    return layer.format.gemm.recipe


def _cpu_problem(gemm: Gemm, device: Device) -> str:
    if device.is_cuda or gemm.recipe == "int8" or scaled_mm_runs_on_cpu():
        return ""
    return f"scaled_mm of torch {torch.__version__} does not run on a CPU"


@cache
def scaled_mm_runs_on_cpu() -> bool:
    """Whether this torch has `scaled_mm` for CPUs: 2.11.0 has it for GPUs only, 2.13.0 for both.

    No public function reports this, so the smallest product is tried once.
    """
    codes, one = torch.ones(16, 16).to(torch.float8_e4m3fn), torch.ones(())
    recipe = functional.ScalingType.TensorWise
    try:
        functional.scaled_mm(codes, codes.t(), one, recipe, one, recipe)
    except NotImplementedError:
        return False
    return True


def _shape_problem(layer: Layer, gemm: Gemm, device: Device) -> str:
    if gemm.recipe == "blocks" and not layer.of_one_grid(ROW_BLOCK):
        return "blocks of 128 rows straddle the members of the packed module"
    if not device.is_cuda:
        return ""
    uneven = [size for size in layer.shape if size % gemm.multiple]
    if not uneven:
        return ""
    return f"torch requires multiples of {gemm.multiple} here, but this layer has {uneven[0]:,}"


def _filled_up(activations: Activations) -> Activations:
    """Padded with rows of zeros to a multiple of `_TOKENS`."""
    codes, scales = activations.codes, activations.scales
    more = -activations.dequantized.shape[0] % _TOKENS
    if codes is None or scales is None or not more:
        return activations
    return Activations(activations.dequantized, _more_rows(codes, more), _more_rows(scales, more))


def _more_rows(tensor: Tensor, more: int) -> Tensor:
    if tensor.dim() < 2:
        return tensor
    one_byte = tensor.element_size() == 1
    raw = tensor.view(torch.uint8) if one_byte else tensor
    filled = pad(raw, (0, 0, 0, more))
    return filled.view(tensor.dtype) if one_byte else filled


def _needed(activations: Activations) -> tuple[Tensor, Tensor]:
    if activations.codes is None or activations.scales is None:
        raise ValueError("activations are not quantized")  # `why_not` has refused it
    return activations.codes, activations.scales


def per_tensor(layer: Layer, activations: Activations) -> Tensor:
    """FP8, one scale on each side."""
    recipe = functional.ScalingType.TensorWise
    codes, scale = _needed(activations)
    weight_scale = layer.members[0].scalar("weight_scale")
    return functional.scaled_mm(
        codes, layer.joined("weight").t(), scale, recipe, weight_scale, recipe
    )


def per_channel(layer: Layer, activations: Activations) -> Tensor:
    """FP8, a scale for each token and each output feature."""
    recipe = functional.ScalingType.RowWise
    codes, scales = _needed(activations)
    weight_scales = layer.joined("weight_scale").float().reshape(1, -1)
    return functional.scaled_mm(
        codes, layer.joined("weight").t(), scales, recipe, weight_scales, recipe
    )


def blocks(layer: Layer, activations: Activations) -> Tensor:
    """FP8, blocks of 128 columns of the input and of 128 x 128 of the weight.

    cuBLASLt reads the scales of the input token by token, and requires those of the weight padded
    to four blocks along the input.
    """
    codes, scales = _needed(activations)
    grids = [layer.dequantizer.scales(member).values for member in layer.members]
    grid = torch.cat(grids)
    weight_scales = pad(grid, (0, -grid.shape[1] % 4)).t()
    return functional.scaled_mm(
        codes,
        layer.joined("weight").t(),
        scales.t().contiguous().t(),
        functional.ScalingType.BlockWise1x128,
        weight_scales,
        functional.ScalingType.BlockWise128x128,
    )


def mxfp8(layer: Layer, activations: Activations) -> Tensor:
    """FP8, a power of two for each 32 columns on both sides."""
    recipe, order = functional.ScalingType.BlockWise1x32, functional.SwizzleType.SWIZZLE_32_4_4
    codes, scales = _needed(activations)
    weight_scales = layer.joined("weight_scale").view(torch.float8_e8m0fnu)
    return functional.scaled_mm(
        codes,
        layer.joined("weight").t(),
        swizzled(scales.view(torch.float8_e8m0fnu)),
        recipe,
        swizzled(weight_scales),
        recipe,
        swizzle_a=order,
        swizzle_b=order,
    )


def nvfp4(layer: Layer, activations: Activations) -> Tensor:
    """FP4, an E4M3 scale for each 16 columns and an F32 scale on both sides."""
    recipe = [functional.ScalingType.BlockWise1x16, functional.ScalingType.TensorWise]
    order = [functional.SwizzleType.SWIZZLE_32_4_4, functional.SwizzleType.NO_SWIZZLE]
    codes, scales = _needed(activations)
    input_scale = layer.input_scale
    if input_scale is None:
        raise ValueError("no input_scale")  # `why_not` has refused it
    weight = layer.joined("weight").view(torch.float4_e2m1fn_x2)
    return functional.scaled_mm(
        pack(codes).view(torch.float4_e2m1fn_x2),
        weight.t(),
        [swizzled(scales), input_scale.reshape(1)],
        recipe,
        [
            swizzled(layer.joined("weight_scale")),
            layer.members[0].scalar("weight_scale_2").reshape(1),
        ],
        recipe,
        swizzle_a=order,
        swizzle_b=order,
    )


def int8(layer: Layer, activations: Activations) -> Tensor:
    """INT8 with sums in INT32, scaled after."""
    codes, scale = _needed(activations)
    sums = torch._int_mm(codes, layer.joined("weight").t())  # noqa: SLF001 - has no public name
    return sums.float() * (layer.joined("weight_scale").float() * scale)


_Gemm = Callable[[Layer, Activations], Tensor]
GEMMS: Final[Mapping[str, tuple[str, _Gemm]]] = {
    "tensor": ("torch scaled_mm TensorWise", per_tensor),
    "channel": ("torch scaled_mm RowWise", per_channel),
    "blocks": ("torch scaled_mm BlockWise128x128", blocks),
    "mxfp8": ("torch scaled_mm BlockWise1x32", mxfp8),
    "nvfp4": ("torch scaled_mm BlockWise1x16", nvfp4),
    "int8": ("torch _int_mm", int8),
}
"""Recipe of a `Gemm` -> its name for the report, and the call."""
