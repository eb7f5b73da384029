"""The expected output of a layer: F32 throughout, from the stored tensors."""

import torch
from torch import Tensor

from ckptfix.verifying.dequantize.registry import dequantize, in_chunks
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer
from ckptfix.verifying.stored import StoredWeight


def reference(layer: Layer, given: Input) -> Tensor:
    """F32 `[tokens, out]` of the stored weights and the quantized input, computed per member."""
    outputs = []
    for member in layer.members:
        output = torch.empty(given.x.shape[0], member.shape[0], device=layer.device)
        for rows, chunk in in_chunks(member):
            output[:, rows] = given.activations.dequantized @ dequantize(chunk).T
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
