"""The low-rank part of SVDQuant compared with the quantized residual."""

from collections.abc import Iterator, Sequence
from math import isfinite

import torch
from msgspec.structs import replace
from torch import Tensor

from ckptfix.checkpoint.numbers import LowRankNumbers
from ckptfix.verifying.dequantize.registry import dequantize, in_chunks
from ckptfix.verifying.stored import StoredWeight

_POWER_STEPS = 12


def low_ranks(members: Sequence[StoredWeight]) -> dict[str, LowRankNumbers]:
    """Members that share lora_a were decomposed as one weight, and are measured as one."""
    groups: list[list[StoredWeight]] = []
    for member in members:
        down = member.tensors.get("svdquant_lora_a")
        if down is None:
            continue
        same = (g for g in groups if torch.equal(g[0].tensors["svdquant_lora_a"], down))
        group = next(same, None)
        if group is None:
            groups.append([member])
        else:
            group.append(member)
    numbers = {}
    for group in groups:
        found = low_rank_numbers(group)
        for member in group:
            is_zero = not bool(member.tensors["svdquant_lora_b"].any())
            numbers[member.name] = replace(found, is_zero=is_zero)
    return numbers


def low_rank_numbers(members: Sequence[StoredWeight]) -> LowRankNumbers:
    """Compared with the residual, which contains nothing along the first singular vectors.

    Args:
        members: weights of one lora_a, one below the other.

    Source: nvidia-modelopt 0.47.0, modelopt/torch/quantization/model_calib.py, `svdquant`: lora_a
    is V^T and lora_b is U S of the largest singular values of the smoothed weight; q, k and v, and
    gate and up, are decomposed together.
    """
    down = members[0].tensors["svdquant_lora_a"].float()
    up = torch.cat([member.tensors["svdquant_lora_b"].float() for member in members])
    if not bool(down.isfinite().all() & up.isfinite().all()):
        return LowRankNumbers(*(float("nan"),) * 4)
    rank, columns = down.shape
    identity = torch.eye(rank, device=down.device)
    directions = torch.linalg.qr(up)[0]
    along_input = torch.zeros((), device=down.device)
    along_output = torch.zeros(rank, columns, device=down.device)
    squares = torch.zeros((), device=down.device)
    for rows, weight in _rows_of_all(members):
        squares += weight.square().sum()
        along_input += (weight @ down.T).square().sum()
        along_output += directions[rows].T @ weight
    norm = max(float(squares), 1e-30) ** 0.5
    if not isfinite(norm):
        return LowRankNumbers(*(float("nan"),) * 4)
    return LowRankNumbers(
        float((down @ down.T - identity).abs().amax()),
        float(along_input.sqrt()) / norm / (rank / columns) ** 0.5,
        float(along_output.norm()) / norm / (rank / up.shape[0]) ** 0.5,
        float(torch.linalg.svdvals(up)[-1]) / max(_largest_singular(members), 1e-30),
    )


def _rows_of_all(members: Sequence[StoredWeight]) -> Iterator[tuple[slice, Tensor]]:
    """The weights concatenated along the output, in chunks."""
    start = 0
    for member in members:
        for rows, chunk in in_chunks(member):
            yield slice(start + rows.start, start + rows.stop), dequantize(chunk)
        start += member.shape[0]


def _largest_singular(members: Sequence[StoredWeight]) -> float:
    """By power iteration; at worst a few percent too small."""
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
