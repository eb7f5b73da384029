"""How each format quantizes the input of a GEMM.

Static scales are the checkpoint's `input_scale`; the rest is made from the input itself, as the
runtimes do.
"""

from collections.abc import Callable

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn.functional import pad

from ckptfix.verifying.dequantize.fp4 import E2M1_MAX, to_e2m1
from ckptfix.verifying.dequantize.fp8 import E4M3_MAX, to_e4m3
from ckptfix.verifying.dequantize.mxfp import e8m0

_TINY = 1e-12
"""Keeps a row of zeros from dividing by zero."""


class Activations(Struct, frozen=True):
    """An input as a GEMM takes it, and the values that it represents."""

    dequantized: Tensor
    """F32 `[tokens, in]`."""
    codes: Tensor | None = None
    """Quantized values: E4M3, I8, or E2M1 in F32; None where the input stays as it is."""
    scales: Tensor | None = None
    """Scales of the codes: a scalar, `[tokens, 1]` or `[tokens, groups]`; E8M0 as bytes."""


QuantizeActivations = Callable[[Tensor, Tensor | None], Activations]
"""(F32 input, `input_scale` if there is one) -> activations."""


def unquantized(x: Tensor, _input_scale: Tensor | None) -> Activations:
    """The input as it is."""
    return Activations(x)


def fp8_per_tensor(x: Tensor, input_scale: Tensor | None) -> Activations:
    """E4M3 by `input_scale`; a layer without one is weight-only."""
    if input_scale is None:
        return Activations(x)
    codes = to_e4m3(x / input_scale)
    return Activations(codes.float() * input_scale, codes, input_scale)


def fp8_per_tensor_or_dynamic(x: Tensor, input_scale: Tensor | None) -> Activations:
    """E4M3 by `input_scale`, or by the largest value of this input."""
    return fp8_per_tensor(x, x.abs().amax() / E4M3_MAX if input_scale is None else input_scale)


def fp8_per_token(x: Tensor, _input_scale: Tensor | None) -> Activations:
    """E4M3 by the largest value of each token."""
    scales = x.abs().amax(1, keepdim=True).clamp(min=_TINY) / E4M3_MAX
    codes = to_e4m3(x / scales)
    return Activations(codes.float() * scales, codes, scales)


def fp8_per_group(x: Tensor, _input_scale: Tensor | None) -> Activations:
    """E4M3 by the largest value of each 128 columns of each token."""
    groups = _grouped(x, 128)
    scales = groups.abs().amax(-1).clamp(min=_TINY) / E4M3_MAX
    codes = to_e4m3(groups / scales[..., None])
    values = codes.float() * scales[..., None]
    columns = x.shape[1]
    return Activations(_flat(values, columns), _flat(codes, columns), scales)


def mxfp8(x: Tensor, _input_scale: Tensor | None) -> Activations:
    """E4M3 by a power of two for each 32 columns of each token, large enough to clip nothing."""
    groups = _grouped(x, 32)
    exponent = torch.ceil(torch.log2(groups.abs().amax(-1) / E4M3_MAX)).clamp(-127, 127)
    scales = (exponent + 127).to(torch.uint8)
    codes = to_e4m3(groups / e8m0(scales)[..., None])
    values = codes.float() * e8m0(scales)[..., None]
    columns = x.shape[1]
    return Activations(_flat(values, columns), _flat(codes, columns), scales)


def nvfp4(x: Tensor, input_scale: Tensor | None) -> Activations:
    """E2M1 by an E4M3 scale for each 16 columns of each token, and `input_scale` over all."""
    if input_scale is None:
        return Activations(x)
    groups = _grouped(x, 16)
    scales = to_e4m3(groups.abs().amax(-1) / E2M1_MAX / input_scale)
    factors = (scales.float() * input_scale)[..., None]
    codes = to_e2m1(torch.where(factors > 0, groups / factors, torch.zeros_like(groups)))
    columns = x.shape[1]
    return Activations(_flat(codes * factors, columns), _flat(codes, columns), scales)


def int8_per_tensor(x: Tensor, input_scale: Tensor | None) -> Activations:
    """I8 by `input_scale`."""
    if input_scale is None:
        return Activations(x)
    codes = (x / input_scale).round().clamp(-128, 127).to(torch.int8)
    return Activations(codes.float() * input_scale, codes, input_scale)


def _grouped(x: Tensor, size: int) -> Tensor:
    """`[tokens, groups, size]`, the last group filled up with zeros."""
    return pad(x, (0, -x.shape[1] % size)).reshape(x.shape[0], -1, size)


def _flat(groups: Tensor, columns: int) -> Tensor:
    return groups.flatten(1)[:, :columns]
