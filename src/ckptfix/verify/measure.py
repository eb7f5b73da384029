"""Weights and scales -> the numbers that rules judge, in one pass over the chunks."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan

import torch
from torch import Tensor
from torch.nn.functional import pad

from ckptfix.checkpoint.numbers import (
    LowRankNumbers,
    ModuleNumbers,
    ScaleNumbers,
    SourceNumbers,
    WeightNumbers,
)
from ckptfix.verify.dequantize.mxfp import e8m0
from ckptfix.verify.dequantize.registry import dequantize, dequantizer, in_chunks
from ckptfix.verify.dequantize.scales import Scales
from ckptfix.verify.stored import StoredWeight

SOURCE = "source"
"""Role of the unquantized weight, where there is one to compare with."""
SCALE_ROLES = (
    "weight_scale",
    "weight_scale_2",
    "input_scale",
    "pre_quant_scale",
    "k_scale",
    "v_scale",
)
_FEWEST_BLOCKS = 32
"""Fewer blocks than that prove nothing about scales and codes."""
_MOST_DIGESTED = 1 << 16
_POWER_STEPS = 12


def scale_numbers(tensor: Tensor) -> ScaleNumbers:
    """Numbers of one companion."""
    values = e8m0(tensor) if tensor.dtype == torch.uint8 else tensor.float()
    finite = values[values.isfinite()]
    is_e4m3 = tensor.dtype == torch.float8_e4m3fn
    counts = [
        (~values.isfinite()).sum(),
        (values == 0).sum(),
        (values < 0).sum(),
        (values == 448).sum() if is_e4m3 else torch.zeros(()),
        ((values >= 320) & (values < 448)).sum() if is_e4m3 else torch.zeros(()),
    ]
    not_finite, zeros, negatives, at_limit, near_limit = (int(number) for number in counts)
    ends = (float(finite.amin()), float(finite.amax())) if finite.numel() else (0.0, 0.0)
    return ScaleNumbers(
        values.numel(),
        not_finite,
        zeros,
        negatives,
        *ends,
        at_limit,
        near_limit,
        _digest(tensor) if tensor.nbytes <= _MOST_DIGESTED else "",
    )


def _digest(tensor: Tensor) -> str:
    raw = tensor.contiguous().reshape(-1).view(torch.uint8).cpu()
    return hashlib.sha256(bytes(raw.tolist())).hexdigest()


def loose_scales(name: str, tensors: Mapping[str, Tensor]) -> ModuleNumbers:
    """Of a module whose weight is not quantized: scales of the KV cache."""
    scales = {role: scale_numbers(tensors[role]) for role in SCALE_ROLES if role in tensors}
    return ModuleNumbers(name, "", scales)


@dataclass
class _Sums:
    not_a_number: int = 0
    zeros: int = 0
    at_limit: int = 0
    blocks: int = 0
    largest: float = 0.0
    squares: float = 0.0
    pairs: list[float] = field(default_factory=lambda: [0.0] * 6)
    """Number, sums of x, y, xx, yy and xy over blocks: x log scale, y log rms of the codes."""
    source: list[float] = field(default_factory=lambda: [0.0] * 3)
    """Squares of the difference and of the source, and their product with the weight."""


class Meter:
    """Sees every chunk of every member of one layer, then tells."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}

    def observe(
        self, stored: StoredWeight, rows: slice, codes: Tensor, scales: Scales, weight: Tensor
    ) -> None:
        """Add a chunk; what `reference` calls."""
        sums = self._sums.setdefault(stored.name, _Sums())
        size = codes.abs()
        flat = weight.abs()
        seen = torch.stack(
            [
                codes.isnan().sum().double(),
                (codes == 0).sum().double(),
                (size >= dequantizer(stored).largest).sum().double(),
                flat.amax().double(),
                flat.square().sum().double(),
            ]
        ).tolist()
        sums.not_a_number += int(seen[0])
        sums.zeros += int(seen[1])
        sums.at_limit += int(seen[2])
        sums.largest = max(sums.largest, seen[3]) if not isnan(seen[3]) else float("nan")
        sums.squares += seen[4]
        sums.blocks += scales.values.numel()
        if scales.values.numel() > 1:
            for index, value in enumerate(_pairs(codes, scales)):
                sums.pairs[index] += value
        if SOURCE in stored.tensors:
            for index, value in enumerate(_against_source(stored, rows, weight)):
                sums.source[index] += value

    def numbers(self, members: Sequence[StoredWeight]) -> list[ModuleNumbers]:
        """Everything about each member of one layer."""
        low_rank = self._low_rank(members)
        return [replace(self._of(m), low_rank=low_rank.get(m.name)) for m in members]

    def _low_rank(self, members: Sequence[StoredWeight]) -> dict[str, LowRankNumbers]:
        """Members that share lora_a were decomposed as one weight, and are looked at as one."""
        groups: list[list[StoredWeight]] = []
        for member in members:
            down = member.tensors.get("svdquant_lora_a")
            if down is None:
                continue
            alike = (g for g in groups if torch.equal(g[0].tensors["svdquant_lora_a"], down))
            group = next(alike, None)
            if group is None:
                groups.append([member])
            else:
                group.append(member)
        numbers = {}
        for group in groups:
            found = low_rank_numbers(group, sum(self._sums[m.name].squares for m in group))
            for member in group:
                is_zero = not bool(member.tensors["svdquant_lora_b"].any())
                numbers[member.name] = replace(found, is_zero=is_zero)
        return numbers

    def _of(self, stored: StoredWeight) -> ModuleNumbers:
        sums = self._sums[stored.name]
        out, columns = stored.shape
        weight = WeightNumbers(
            out * columns,
            sums.not_a_number,
            sums.zeros,
            sums.at_limit,
            sums.blocks,
            sums.largest,
            (sums.squares / (out * columns)) ** 0.5,
            _correlation(sums.pairs),
        )
        scales = {
            role: scale_numbers(stored.tensors[role])
            for role in SCALE_ROLES
            if role in stored.tensors
        }
        return ModuleNumbers(
            stored.name, stored.quant_algo, scales, weight, source=_source(sums.source)
        )


def _pairs(codes: Tensor, scales: Scales) -> list[float]:
    """Sums over the blocks that have a scale and a code above zero."""
    y = 0.5 * _mean_squares(codes, scales).log().flatten().double()
    x = scales.values.log().flatten().double()
    counted = x.isfinite() & y.isfinite()
    x, y = x[counted], y[counted]
    sums: list[float] = torch.stack(
        [
            x.new_tensor(float(x.numel())),
            x.sum(),
            y.sum(),
            (x * x).sum(),
            (y * y).sum(),
            (x * y).sum(),
        ]
    ).tolist()
    return sums


def _mean_squares(codes: Tensor, scales: Scales) -> Tensor:
    out, columns = codes.shape
    if scales.rows == 1:
        return codes.square().reshape(out, -1, scales.columns).mean(-1)
    filled = pad(codes, (0, -columns % scales.columns, 0, -out % scales.rows))
    tiles = filled.square().reshape(filled.shape[0] // scales.rows, scales.rows, -1, scales.columns)
    return tiles.mean((1, 3))


def _correlation(pairs: list[float]) -> float | None:
    number, x, y, xx, yy, xy = pairs
    if number < _FEWEST_BLOCKS:
        return None
    spread = (xx - x * x / number) * (yy - y * y / number)
    if spread <= 1e-12 * number * number:
        return None  # all scales alike, or all blocks: nothing to tell by
    return float((xy - x * y / number) / spread**0.5 * number**0.5)


def _against_source(stored: StoredWeight, rows: slice, weight: Tensor) -> list[float]:
    whole = weight
    down, up = stored.tensors.get("svdquant_lora_a"), stored.tensors.get("svdquant_lora_b")
    if down is not None and up is not None:
        whole = whole + up[rows].float() @ down.float()
    if "pre_quant_scale" in stored.tensors:
        whole = whole * stored.tensors["pre_quant_scale"].float()
    source = stored.tensors[SOURCE][rows].float()
    sums: list[float] = torch.stack(
        [(whole - source).square().sum(), source.square().sum(), (whole * source).sum()]
    ).tolist()
    return sums


def _source(sums: list[float]) -> SourceNumbers | None:
    difference, squares, product = sums
    if not squares:
        return None
    return SourceNumbers((difference / squares) ** 0.5, product / squares)


def low_rank_numbers(members: Sequence[StoredWeight], squares: float) -> LowRankNumbers:
    """Against the rest: it holds what the first singular vectors leave, so nothing along them.

    Args:
        members: weights of one lora_a, one below the other.
        squares: sum of the squares of the rest.

    Source: nvidia-modelopt 0.47.0, modelopt/torch/quantization/model_calib.py, `svdquant`: lora_a
    is V^T and lora_b is U S of the largest singular values of the smoothed weight; q, k and v, and
    gate and up, are decomposed together.
    """
    down = members[0].tensors["svdquant_lora_a"].float()
    up = torch.cat([member.tensors["svdquant_lora_b"].float() for member in members])
    if not bool(down.isfinite().all() & up.isfinite().all()) or isnan(squares):
        return LowRankNumbers(*(float("nan"),) * 4)
    rank, columns = down.shape
    identity = torch.eye(rank, device=down.device)
    directions = torch.linalg.qr(up)[0]
    along_input = torch.zeros((), device=down.device)
    along_output = torch.zeros(rank, columns, device=down.device)
    for rows, weight in _rows_of_all(members):
        along_input += (weight @ down.T).square().sum()
        along_output += directions[rows].T @ weight
    norm = max(squares, 1e-30) ** 0.5
    return LowRankNumbers(
        float((down @ down.T - identity).abs().amax()),
        float(along_input.sqrt()) / norm / (rank / columns) ** 0.5,
        float(along_output.norm()) / norm / (rank / up.shape[0]) ** 0.5,
        float(torch.linalg.svdvals(up)[-1]) / max(_largest_singular(members), 1e-30),
    )


def _rows_of_all(members: Sequence[StoredWeight]) -> Iterator[tuple[slice, Tensor]]:
    """The weights one below the other, by chunks."""
    start = 0
    for member in members:
        for rows, chunk in in_chunks(member):
            yield slice(start + rows.start, start + rows.stop), dequantize(chunk)
        start += member.shape[0]


def _largest_singular(members: Sequence[StoredWeight]) -> float:
    """By power iteration; a few per cent too small at worst, which is what it is compared with."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(members[0].shape[1], 4, generator=generator)
    vector = vector.to(members[0].tensors["weight"].device)
    largest = 0.0
    for _ in range(_POWER_STEPS):
        vector = torch.linalg.qr(vector)[0]
        following = torch.zeros_like(vector)
        for _, weight in _rows_of_all(members):
            following += weight.T @ (weight @ vector)
        largest = float(following.norm(dim=0).amax()) ** 0.5
        vector = following
    return largest
