"""Weights of other quantizers in the layout that the decoders know: a code an element, `[out, in]`.

Integers become I8 with their zero point taken away, so that a scale is all that is left; FP4 stays
packed by two. Sources: compressed-tensors 0.19.0 (compressors/), gptqmodel 7.7.0
(nn_modules/qlinear/), AutoAWQ 0.2.9 (awq/utils/packing_utils.py), exports of amd-quark 0.13 and of
bitsandbytes 0.50.2, and the layout of gpt-oss.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from msgspec.structs import replace
from torch import Tensor

from ckptfix.checkpoint.formats.format import Codes, Format, InputKind, ScaleLayout
from ckptfix.checkpoint.formats.table import BLOCKS_2D, CHANNEL, EXPONENTS, FP4, FP8, GROUPS, INT8
from ckptfix.checkpoint.formats.table import TENSOR as ONE_SCALE
from ckptfix.verifying.stored import ROW_BLOCK, StoredWeight

_AWQ_ORDER: Final = (0, 2, 4, 6, 1, 3, 5, 7)
"""Nibble -> which of eight neighbours along the output it holds."""
_BARE: Final = InputKind("unquantized", "BF16")
_TENSOR: Final = replace(ONE_SCALE, shared="")
"""These quantizers' runtimes keep the scale of every member of a packed module."""
_TWO_LEVELS: Final = ScaleLayout("two levels", ("F8_E4M3",), GROUPS.shape)


class NoDecoderError(Exception):
    """The tensors are packed in a way that only the metadata explain."""


def unpacked(stored: StoredWeight) -> StoredWeight:
    """The weight with the roles `weight` and `weight_scale`; one that has them stays as it is.

    Raises:
        NoDecoderError: the tensors do not show what they mean.
    """
    unpack = UNPACK.get(stored.format.quant_algo)
    return unpack(stored) if unpack else stored


def _with(
    stored: StoredWeight, codes: Codes, scales: ScaleLayout, **tensors: Tensor
) -> StoredWeight:
    row = replace(
        stored.format,
        codes=codes, scales=scales, inputs=_BARE, gemm=None, weight="weight", scale="weight_scale",
    )  # fmt: skip
    kept = {"weight", "source"} & stored.tensors.keys()
    held = {role: stored.tensors[role] for role in kept}
    return replace(stored, format=row, tensors={**held, **tensors})


def _by_shape(stored: StoredWeight, codes: Codes) -> StoredWeight:
    """One code an element; one scale, one for each row, or for each block."""
    scale = stored.tensors[stored.format.scale]
    scale = scale.float()
    out, columns = stored.shape
    weight = stored.tensors["weight"].reshape(out, columns)
    zero = stored.tensors.get("weight_zero_point")
    if zero is not None and bool((zero != 0).any()):
        raise NoDecoderError("codes of a byte with zero points")
    if scale.numel() == 1:
        return _with(stored, codes, _TENSOR, weight=weight, weight_scale=scale.reshape(()))
    if scale.numel() == out and "block" not in stored.format.scales.name:
        return _with(stored, codes, CHANNEL, weight=weight, weight_scale=scale.reshape(out))
    if scale.shape == (-(-out // ROW_BLOCK), -(-columns // ROW_BLOCK)):
        return _with(stored, codes, BLOCKS_2D, weight=weight, weight_scale=scale)
    raise NoDecoderError("blocks of another size than 128 x 128")


def _fp8(stored: StoredWeight) -> StoredWeight:
    return _by_shape(stored, FP8)


def _int8(stored: StoredWeight) -> StoredWeight:
    return _by_shape(stored, INT8)


def _split(packed: Tensor, bits: int, dim: int) -> Tensor:
    """The unsigned codes of I32 elements along a dimension, the lowest bits first, I32."""
    shifts = torch.arange(0, 32, bits, device=packed.device, dtype=torch.int32)
    apart = packed.unsqueeze(dim + 1) >> shifts.view([-1] + [1] * (packed.dim() - dim - 1))
    return (apart & ((1 << bits) - 1)).flatten(dim, dim + 1)


def _ints(stored: StoredWeight, codes: Tensor, zeros: Tensor, scale: Tensor) -> StoredWeight:
    """Integers as I8.

    Args:
        stored: the weight.
        codes: unsigned, `[out, in]`.
        zeros: unsigned, `[out, groups]`, or one for all.
        scale: `[out, groups]`.
    """
    out, columns = stored.shape
    groups = scale.shape[1]
    if columns % groups:
        raise NoDecoderError("groups that do not divide the columns")
    # AutoRound tunes scales to negative ones too; their sign belongs to the codes here.
    sign = torch.where(scale < 0, -1, 1).to(codes.dtype).reshape(out, groups, 1)
    centred = (codes.reshape(out, groups, -1) - zeros.reshape(*zeros.shape, 1)) * sign
    if bool((centred < -128).any() or (centred > 127).any()):
        raise NoDecoderError("8-bit codes with zero points or negative scales")
    is_even = bool((zeros == 1 << (stored.format.codes.bits - 1)).all())
    largest = stored.format.codes.largest * (1 if is_even else 2) + (not is_even)
    name = f"unpacked INT{stored.format.codes.bits}"
    row = replace(INT8, name=name, largest=largest, error=stored.format.codes.error)
    weight = centred.view(out, columns).to(torch.int8)
    scale = scale.abs()
    return _with(stored, row, GROUPS, weight=weight, weight_scale=scale.float().contiguous())


def _packed_ints(stored: StoredWeight) -> StoredWeight:
    """compressed-tensors: packed along the input, zero points along the output."""
    if "weight_g_idx" in stored.tensors:
        raise NoDecoderError("an activation order")
    bits, (out, columns) = stored.format.codes.bits, stored.shape
    codes = _split(stored.tensors["weight_packed"], bits, 1)[:, :columns]
    zeros = torch.full((1, 1), 1 << (bits - 1), device=codes.device, dtype=torch.int32)
    if "weight_zero_point" in stored.tensors:
        zeros = _split(stored.tensors["weight_zero_point"], bits, 0)[:out]
    return _ints(stored, codes, zeros, stored.tensors["weight_scale"].reshape(out, -1))


def _gptq(stored: StoredWeight) -> StoredWeight:
    """GPTQ: packed along the input, which is the first dimension."""
    bits, columns = stored.format.codes.bits, stored.shape[1]
    scale = stored.tensors["scales"]
    order = stored.tensors.get("g_idx")
    if order is not None:
        plain = torch.arange(columns, device=order.device) // (columns // scale.shape[0])
        if not torch.equal(order.long(), plain) and bool((order != 0).any()):
            raise NoDecoderError("an activation order")
    zeros = _split(stored.tensors["qzeros"], bits, 1)
    middle = 1 << (bits - 1)
    # GPTQ stores a zero point less one, its second version the zero point itself.
    if not bool(((zeros == middle - 1) | (zeros == middle)).all()):
        raise NoDecoderError("zero points in one of two conventions")
    codes = _split(stored.tensors["qweight"], bits, 0)[:columns].T
    one = torch.full((1, 1), middle, device=codes.device, dtype=torch.int32)
    return _ints(stored, codes.contiguous(), one, scale.T)


def _along_output(packed: Tensor, out: int, order: Sequence[int] = _AWQ_ORDER) -> Tensor:
    """The unsigned codes, `[out, in]`, of a tensor `[in, out / 8]`."""
    places = torch.tensor(order).argsort().to(packed.device)
    apart = _split(packed, 4, 1).view(packed.shape[0], -1, len(order))
    return apart[:, :, places].reshape(packed.shape[0], -1)[:, :out].T.contiguous()


def _awq(stored: StoredWeight) -> StoredWeight:
    """AWQ: packed along the output, which is the second dimension, in an order of its own."""
    out, columns = stored.shape
    codes = _along_output(stored.tensors["qweight"][:columns], out)
    zeros = _along_output(stored.tensors["qzeros"], out)
    return _ints(stored, codes, zeros, stored.tensors["scales"].T)


def _quark_int4(stored: StoredWeight) -> StoredWeight:
    """Quark: as AWQ, but signed codes have zero points of 0, and their order is in the metadata.

    `pack_method` is `reorder`, the default, or `order`. The tensors show it too: in the order that
    is meant, large scales belong to columns of small codes.
    """
    out, columns = stored.shape
    scale = stored.tensors["weight_scale"].T
    zeros = stored.tensors["weight_zero_point"]
    is_signed = not bool(zeros.any())
    read = []
    for order in (_AWQ_ORDER, range(8)):
        codes = _along_output(stored.tensors["weight"][:columns], out, order)
        points = _along_output(zeros, out, order)
        if is_signed:  # two's complement, which is 8 less than the code with its first bit turned
            codes, points = codes ^ 8, points + 8
        read.append(_ints(stored, codes, points, scale))
    return min(read, key=_belonging)


def _belonging(stored: StoredWeight) -> float:
    """The correlation of the scales with the mean size of their codes."""
    scale = stored.tensors["weight_scale"]
    size = stored.tensors["weight"].float().abs().view(*scale.shape, -1).mean(-1)
    pairs = torch.stack([scale.log().flatten(), size.flatten()])
    return float(torch.corrcoef(pairs)[0, 1].nan_to_num())


def _bitsandbytes_int8(stored: StoredWeight) -> StoredWeight:
    """bitsandbytes: the largest weight of a row, which is 127 (bitsandbytes 0.50.2)."""
    scale = stored.tensors["SCB"].float() / INT8.largest
    return _with(stored, INT8, CHANNEL, weight=stored.tensors["weight"], weight_scale=scale)


def _mxfp4(stored: StoredWeight) -> StoredWeight:
    """FP4 by two in a byte along the input; gpt-oss keeps a dimension for the groups."""
    out, columns = stored.shape
    weight = stored.tensors[stored.format.weight].reshape(out, columns // 2)
    scale = stored.tensors[stored.format.scale].reshape(out, -1).view(torch.uint8)
    return _with(stored, FP4, EXPONENTS, weight=weight, weight_scale=scale)


def _nvfp4(stored: StoredWeight) -> StoredWeight:
    """The same with a scale of E4M3 for each 16, and the reciprocal of one for all."""
    second = 1.0 / stored.scalar("weight_global_scale")
    weight, scale = stored.tensors["weight_packed"], stored.tensors["weight_scale"]
    return _with(stored, FP4, _TWO_LEVELS, weight=weight, weight_scale=scale, weight_scale_2=second)


UNPACK: Final[Mapping[str, Callable[[StoredWeight], StoredWeight]]] = {
    **dict.fromkeys(
        ("FP8_TENSOR", "FP8_CHANNEL", "FP8_TENSOR_INV", "FP8_BLOCK", "FP8_BLOCK_INV"), _fp8
    ),
    **dict.fromkeys(("INT8_TENSOR", "INT8_CHANNEL"), _int8),
    **dict.fromkeys(("INT4_PACKED", "INT8_PACKED"), _packed_ints),
    **dict.fromkeys(("GPTQ_INT4", "GPTQ_INT8"), _gptq),
    **dict.fromkeys(("MXFP4_PACKED", "MXFP4_BLOCKS"), _mxfp4),
    "AWQ_INT4": _awq,
    "QUARK_INT4": _quark_int4,
    "BNB_INT8": _bitsandbytes_int8,
    "NVFP4_PACKED": _nvfp4,
}
"""Name of the format -> how it is unpacked."""


def can_unpack(row: Format) -> bool:
    """True where a format is brought into a layout that has a decoder."""
    return row.quant_algo in UNPACK
