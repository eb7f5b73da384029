"""FlashInfer's FP4 GEMM, when FlashInfer is installed; written against its 0.6 interface.

Source: flashinfer.ai documentation of `nvfp4_quantize` and `mm_fp4`; vLLM 0.33.0,
vllm/utils/flashinfer.py, calls the second the same way.
"""

from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from ckptfix.verifying.backends.needs import why_not
from ckptfix.verifying.backends.swizzle import swizzled
from ckptfix.verifying.device import Device
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer


class FlashInferBackend:
    """`flashinfer.mm_fp4`."""

    name = "flashinfer"
    tolerance = 0.03  # it quantizes the input itself, with approximate reciprocals

    @staticmethod
    def missing() -> str:
        """Why it cannot be used."""
        return "" if find_spec("flashinfer") else "FlashInfer is not installed"

    @staticmethod
    def why_not(layer: Layer, device: Device) -> str:
        """Rejects formats and GPUs that it does not support."""
        algo, gemm = layer.quant_algo, layer.format.gemm
        if gemm is None or gemm.recipe != "nvfp4":
            return f"ckptfix supports no FlashInfer kernel for {algo}"
        if layer.input_scale is None:
            return f"{algo} without input_scale is weight-only"
        if any(size % 32 for size in layer.shape):
            return "FlashInfer's kernel requires multiples of 32 here"
        return why_not(gemm.gpu, algo, device)

    @staticmethod
    def kernel(_layer: Layer) -> str:
        """The function."""
        return "flashinfer mm_fp4"

    @staticmethod
    def run(layer: Layer, given: Input) -> Tensor:
        """Quantize the input, multiply."""
        flashinfer = import_module("flashinfer")
        input_scale = layer.input_scale
        if input_scale is None:
            raise ValueError("no input_scale")  # `why_not` has refused it
        codes, scales = flashinfer.fp4_quantize(given.x.bfloat16(), 1 / input_scale)
        block_scales = layer.joined("weight_scale")
        padded = -(-block_scales.shape[0] // 128) * 128
        output: Tensor = flashinfer.mm_fp4(
            codes,
            layer.joined("weight").t(),
            scales.view(torch.uint8),
            swizzled(block_scales).view(torch.uint8).reshape(padded, -1).t(),
            input_scale * layer.members[0].scalar("weight_scale_2"),
            torch.bfloat16,
            backend="cutlass",
        )
        return output
