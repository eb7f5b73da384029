"""What a layer should answer: F32 throughout, from the stored tensors."""

from collections.abc import Callable

import torch
from torch import Tensor

from ckptfix.verify.dequantize.registry import dequantizer, in_chunks
from ckptfix.verify.dequantize.scales import Scales
from ckptfix.verify.inputs import Input
from ckptfix.verify.layer import Layer
from ckptfix.verify.stored import StoredWeight

Observe = Callable[[StoredWeight, slice, Tensor, Scales, Tensor], None]
"""Sees every chunk of a weight once: (module, its rows, codes, scales, dequantized)."""


def walk(stored: StoredWeight, row: Callable[[slice, Tensor], None], observe: Observe) -> None:
    """Dequantize a weight by chunks of rows and hand each out."""
    format_ = dequantizer(stored)
    for rows, chunk in in_chunks(stored):
        codes, scales = format_.codes(chunk), format_.scales(chunk)
        weight = scales.over(codes)
        observe(stored, rows, codes, scales, weight)
        row(rows, weight)


def reference(layer: Layer, given: Input, observe: Observe) -> Tensor:
    """F32 `[tokens, out]` of the stored weights and the quantized input; each member by itself."""
    outputs = []
    for member in layer.members:
        output = torch.empty(given.x.shape[0], member.shape[0], device=layer.device)

        def multiply(rows: slice, weight: Tensor, output: Tensor = output) -> None:
            output[:, rows] = given.activations.dequantized @ weight.T

        walk(member, multiply, observe)
        outputs.append(output + low_rank(member, given.x))
    return torch.cat(outputs, 1)


def low_rank(member: StoredWeight, x: Tensor) -> Tensor | float:
    """The part of SVDQuant that stays unquantized, in the precision of `x`; 0 without one."""
    down, up = member.tensors.get("svdquant_lora_a"), member.tensors.get("svdquant_lora_b")
    if down is None or up is None:
        return 0.0
    return (x @ down.to(x.dtype).T) @ up.to(x.dtype).T


def relative_error(output: Tensor, expected: Tensor) -> float:
    """|output - expected| / |expected|, over all tokens; infinite if anything is not finite."""
    if not bool(output.isfinite().all() & expected.isfinite().all()):
        return float("inf")
    norm = float(expected.double().norm())
    difference = float((output.double() - expected.double()).norm())
    if norm == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / norm
