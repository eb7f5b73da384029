"""vLLM's CUTLASS kernels, when vLLM is installed; written against vLLM 0.33.0.

Source: vllm/_custom_ops.py and vllm/model_executor/kernels/linear/nvfp4/cutlass.py.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from ckptfix.verifying.backends.needs import NEEDS
from ckptfix.verifying.backends.swizzle import swizzled
from ckptfix.verifying.device import Device
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer

_ALGOS = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "NVFP4", "NVFP4_AWQ", "NVFP4_SVD")


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
        algo = layer.quant_algo
        if algo not in _ALGOS:
            return f"ckptfix knows no vLLM kernel for {algo}"
        if not device.is_cuda:
            return f"vLLM's kernel for {algo} needs a GPU, this is a CPU"
        if layer.input_scale is None and algo != "FP8_PER_CHANNEL_PER_TOKEN":
            return f"{algo} without input_scale is weight-only"
        multiple = 32 if "FP4" in algo else 16
        if any(size % multiple for size in layer.shape):
            return f"vLLM's kernel takes multiples of {multiple} here"
        return NEEDS[algo].why_not(algo, device)

    @staticmethod
    def kernel(layer: Layer) -> str:
        """The operator."""
        return (
            "vllm cutlass_scaled_fp4_mm" if "FP4" in layer.quant_algo else "vllm cutlass_scaled_mm"
        )

    @staticmethod
    def run(layer: Layer, given: Input) -> Tensor:
        """By the operators that vLLM's own layers call."""
        ops = import_module("vllm._custom_ops")
        if "FP4" in layer.quant_algo:
            return _nvfp4(ops, layer, given)
        weight_scale = (
            layer.members[0].scalar("weight_scale").reshape(1, 1)
            if layer.quant_algo == "FP8"
            else layer.joined("weight_scale").float().reshape(-1, 1)
        )
        scales = given.activations.scales
        if scales is None or given.activations.codes is None:
            raise ValueError("activations are not quantized")  # `why_not` has said so before
        output: Tensor = ops.cutlass_scaled_mm(
            given.activations.codes,
            layer.joined("weight").t(),
            scales.reshape(-1, 1),
            weight_scale,
            torch.bfloat16,
        )
        return output


def _nvfp4(ops: ModuleType, layer: Layer, given: Input) -> Tensor:
    input_scale = layer.input_scale
    if input_scale is None:
        raise ValueError("no input_scale")  # `why_not` has said so before
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
