"""Random activations, in the range that the layer was calibrated for."""

import zlib

import torch
from msgspec import Struct
from torch import Tensor

from ckptfix.verifying.dequantize.activations import Activations
from ckptfix.verifying.layer import Layer


class Input(Struct, frozen=True):
    """The input of a layer."""

    x: Tensor
    """F32 `[tokens, in]`, of BF16 values, after pre_quant_scale."""
    activations: Activations
    """The same values, quantized as the format defines."""


def random_input(layer: Layer, tokens: int) -> Input:
    """The same values for the same name, on every device and rank.

    They are normally distributed, and with a static `input_scale` the largest is the one that the
    scale allows: clipped inputs would tell us nothing about the checkpoint.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(layer.name.encode(errors="replace")))
    x = torch.randn(tokens, layer.shape[1], generator=generator).to(layer.device)
    pre_quant_scale = layer.pre_quant_scale
    if pre_quant_scale is not None:
        x = x * pre_quant_scale
    scale = layer.input_scale
    if scale is not None and layer.format.inputs.range:
        factor = scale * layer.format.inputs.range / x.abs().amax()
        x = torch.where(factor.isfinite() & (factor > 0), x * factor, x)
    x = x.bfloat16().float()
    return Input(x, layer.dequantizer.activations(x, scale))
