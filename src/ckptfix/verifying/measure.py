"""Weights and scales -> the numbers that rules judge."""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ckptfix.checkpoint.numbers import (
    LowRankNumbers,
    ModuleNumbers,
    ScaleNumbers,
    SourceNumbers,
    WeightNumbers,
)
from ckptfix.checkpoint.roles import SCALES
from ckptfix.verifying.blocks import count_weight
from ckptfix.verifying.dequantize.mxfp import e8m0
from ckptfix.verifying.dequantize.registry import dequantize, in_chunks
from ckptfix.verifying.low_rank import low_ranks
from ckptfix.verifying.stored import SOURCE, StoredWeight

_FEWEST_BLOCKS = 32
"""Fewer blocks than this prove nothing about scales and codes."""
_LEAST_POWER = 5.0
"""Standard deviations below zero that are expected of scales that belong to the codes: if those
are rms / scale, the deviation of the logarithms of the scales over that of the codes, times the
root of the number of blocks. Where the scales hardly differ, as those of rows of uniform initial
weights (NemotronH's out_proj: 1.5), belonging and unrelated scales look alike. Real exports have
5.8 and more."""
_MOST_DIGESTED = 1 << 16


def scale_numbers(tensor: Tensor) -> ScaleNumbers:
    """Numbers of one companion."""
    values, counts = _counted(tensor)
    finite = values[values.isfinite() & (counts > 0)]
    is_e4m3 = tensor.dtype == torch.float8_e4m3fn
    near = (values >= 320) & (values < 448) if is_e4m3 else values < -torch.inf
    top = values == 448 if is_e4m3 else values < -torch.inf
    kinds = torch.stack([~values.isfinite(), values == 0, values < 0, top, near])
    not_finite, zeros, negatives, at_limit, near_limit = (kinds * counts).sum(-1).tolist()
    ends = (float(finite.amin()), float(finite.amax())) if finite.numel() else (0.0, 0.0)
    return ScaleNumbers(
        tensor.numel(),
        not_finite,
        zeros,
        negatives,
        *ends,
        at_limit,
        near_limit,
        _digest(tensor) if tensor.nbytes <= _MOST_DIGESTED else "",
    )


def _counted(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Values and their counts; for one-byte dtypes, every possible value once."""
    if tensor.element_size() > 1:
        values = tensor.float().reshape(-1)
        return values, torch.ones_like(values, dtype=torch.int64)
    every = torch.arange(256, dtype=torch.uint8, device=tensor.device)
    counts = torch.bincount(tensor.reshape(-1).view(torch.uint8), minlength=256)
    if tensor.dtype != torch.uint8:
        return every.view(tensor.dtype).float(), counts
    # 2^-127 is the smallest E8M0 value, which a block of zeros gets.
    return torch.where(every == 0, 0.0, e8m0(every)), counts


def _digest(tensor: Tensor) -> str:
    raw = tensor.contiguous().reshape(-1).view(torch.uint8).cpu()
    return hashlib.sha256(bytes(raw.tolist())).hexdigest()


def loose_scales(name: str, tensors: Mapping[str, Tensor], quant_algo: str = "") -> ModuleNumbers:
    """Numbers of a module whose weight is not decoded: its scales, and those of the KV cache."""
    scales = {role: scale_numbers(tensors[role]) for role in SCALES if role in tensors}
    return ModuleNumbers(name, quant_algo, scales)


def measure(members: Sequence[StoredWeight]) -> list[ModuleNumbers]:
    """All numbers of each member of one layer."""
    low_rank = low_ranks(members)
    return [_of(member, low_rank.get(member.name)) for member in members]


def _of(stored: StoredWeight, low_rank: LowRankNumbers | None) -> ModuleNumbers:
    scales = {
        role: scale_numbers(stored.tensors[role]) for role in SCALES if role in stored.tensors
    }
    return ModuleNumbers(
        stored.name, stored.format.quant_algo, scales, _weight(stored), low_rank, _source(stored)
    )


def _weight(stored: StoredWeight) -> WeightNumbers:
    """From the count of each byte value: nothing is decoded twice."""
    out, columns = stored.shape
    codes, pairing = count_weight(stored)
    return WeightNumbers(
        out * columns,
        codes.not_a_number,
        codes.zeros,
        codes.at_limit,
        pairing.blocks,
        pairing.largest * codes.largest,
        _correlation(pairing.pairs.tolist()),
    )


def _correlation(pairs: list[float]) -> float | None:
    number, x, y, xx, yy, xy = pairs
    if number < _FEWEST_BLOCKS:
        return None
    of_scales, of_codes = xx - x * x / number, yy - y * y / number
    if of_scales * of_codes <= 1e-12 * number * number:
        return None  # all scales or all blocks are equal: no correlation
    if of_scales / of_codes * number < _LEAST_POWER**2:
        return None
    return float((xy - x * y / number) / (of_scales * of_codes) ** 0.5 * number**0.5)


def _source(stored: StoredWeight) -> SourceNumbers | None:
    if SOURCE not in stored.tensors:
        return None
    sums = [0.0] * 3
    for _, chunk in in_chunks(stored):
        found = _against_source(chunk, dequantize(chunk))
        sums = [sum(both) for both in zip(sums, found, strict=True)]
    difference, squares, product = sums
    if not squares:
        return None
    return SourceNumbers((difference / squares) ** 0.5, product / squares)


def _against_source(chunk: StoredWeight, weight: Tensor) -> list[float]:
    whole = weight
    down, up = chunk.tensors.get("svdquant_lora_a"), chunk.tensors.get("svdquant_lora_b")
    if down is not None and up is not None:
        whole = whole + up.float() @ down.float()
    if "pre_quant_scale" in chunk.tensors:
        whole = whole * chunk.tensors["pre_quant_scale"].float()
    source = chunk.tensors[SOURCE].float()
    sums: list[float] = torch.stack(
        [(whole - source).square().sum(), source.square().sum(), (whole * source).sum()]
    ).tolist()
    return sums
