"""vLLM's CUTLASS kernels, when vLLM is installed; written against vLLM 0.33.0.

Source: vllm/_custom_ops.py and vllm/model_executor/kernels/linear/nvfp4/cutlass.py.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from ckptfix.verifying.backends.needs import why_not
from ckptfix.verifying.backends.swizzle import swizzled
from ckptfix.verifying.device import Device
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer

_KERNELS = {
    "tensor": "vllm cutlass_scaled_mm",
    "channel": "vllm cutlass_scaled_mm",
    "nvfp4": "vllm cutlass_scaled_fp4_mm",
}
"""Recipe of a `Gemm` -> operator."""


class VllmBackend:
    """`vllm._custom_ops`."""

    name = "vllm"
    tolerance = 0.03  # vLLM quantizes an NVFP4 input itself, with approximate reciprocals

    @staticmethod
    def missing() -> str:
        """Why it cannot be used."""
        return "" if find_spec("vllm") else "vLLM is not installed"

    @staticmethod
    def why_not(layer: Layer, device: Device) -> str:
        """Formats and GPUs that its CUTLASS kernels do not take."""
        algo, gemm = layer.quant_algo, layer.format.gemm
        if gemm is None or gemm.recipe not in _KERNELS:
            return f"ckptfix supports no vLLM kernel for {algo}"
        if not device.is_cuda:
            return f"vLLM's kernel for {algo} needs a GPU, but this is a CPU"
        if layer.input_scale is None and layer.format.inputs.static:
            return f"{algo} without input_scale is weight-only"
        if any(size % gemm.multiple for size in layer.shape):
            return f"vLLM's kernel requires multiples of {gemm.multiple} here"
        return why_not(gemm.gpu, algo, device)

    @staticmethod
    def kernel(layer: Layer) -> str:
        """The operator."""
        return _KERNELS[_recipe(layer)]

    @staticmethod
    def run(layer: Layer, given: Input) -> Tensor:
        """By the operators that vLLM's own layers call."""
        ops = import_module("vllm._custom_ops")
        recipe = _recipe(layer)
        if recipe == "nvfp4":
            return _nvfp4(ops, layer, given)
        weight_scale = (
            layer.members[0].scalar("weight_scale").reshape(1, 1)
            if recipe == "tensor"
            else layer.joined("weight_scale").float().reshape(-1, 1)
        )
        scales = given.activations.scales
        if scales is None or given.activations.codes is None:
            raise ValueError("activations are not quantized")  # `why_not` has refused it
        output: Tensor = ops.cutlass_scaled_mm(
            given.activations.codes,
            layer.joined("weight").t(),
            scales.reshape(-1, 1),
            weight_scale,
            torch.bfloat16,
        )
        return output


def _recipe(layer: Layer) -> str:
    if layer.format.gemm is None:
        raise ValueError("the two sides differ")  # `why_not` has refused it
    return layer.format.gemm.recipe


def _nvfp4(ops: ModuleType, layer: Layer, given: Input) -> Tensor:
    input_scale = layer.input_scale
    if input_scale is None:
        raise ValueError("no input_scale")  # `why_not` has refused it
    codes, scales = ops.scaled_fp4_quant(
        given.x.bfloat16(), 1 / input_scale, is_sf_swizzled_layout=True, backend="cutlass"
    )
    block_scales = layer.joined("weight_scale")
    padded = -(-block_scales.shape[0] // 128) * 128
    output: Tensor = ops.cutlass_scaled_fp4_mm(
        codes,
        layer.joined("weight"),
        scales,
        swizzled(block_scales).reshape(padded, -1),
        input_scale * layer.members[0].scalar("weight_scale_2"),
        torch.bfloat16,
    )
    return output
