"""Every code of a weight and its scales, counted and paired, in one pass over parts of it.

A part stays in the cache of a core while all of it is computed, and several cores take a part each:
from memory, and on one core, the same sums take ten times as long.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Final

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.nn.functional import pad

from ckptfix.verifying.cores import each_run
from ckptfix.verifying.counted import Codes, Pairing, codes_of
from ckptfix.verifying.dequantize.registry import dequantizer, in_chunks
from ckptfix.verifying.dequantize.scales import Scales
from ckptfix.verifying.sixteens import columns_of_sixteens, count_sixteens
from ckptfix.verifying.stored import StoredWeight

_CPU_VALUES: Final = 1 << 19
"""Values of a part on a CPU: half a MiB of FP8, and four times that in between."""
_GPU_VALUES: Final = 1 << 24
"""A GPU has no use for small parts: each starts a dozen kernels."""


def count_weight(stored: StoredWeight) -> tuple[Codes, Pairing]:
    """The codes and the scales of a weight that has a decoder."""
    columns = columns_of_sixteens(stored)
    if columns:
        return count_sixteens(stored, columns)
    values = _CPU_VALUES if stored.tensors["weight"].device.type == "cpu" else _GPU_VALUES
    chunks = [chunk for _, chunk in in_chunks(stored, values)]
    counts, pairings = zip(*each_run(_count_rows, chunks), strict=True)
    pairing = reduce(add, pairings)
    if stored.tensors["weight_scale"].numel() == 1:  # each part has counted it
        pairing = replace(pairing, blocks=1)
    return codes_of(stored, reduce(add, counts)), pairing


def _count_rows(chunks: Sequence[StoredWeight]) -> tuple[Tensor, Pairing]:
    """How often each byte occurs in some rows, int64 `[256]`, and their scales."""
    counts, pairings = zip(*map(_of_rows, chunks), strict=True)
    return reduce(add, counts), reduce(add, pairings)


def _of_rows(chunk: StoredWeight) -> tuple[Tensor, Pairing]:
    raw = chunk.tensors["weight"].reshape(-1).view(torch.uint8)
    scales = dequantizer(chunk.format).scales(chunk)
    pairs = raw.new_zeros(6, dtype=torch.float64)
    if scales.values.numel() > 1:
        y = 0.5 * _mean_squares(chunk, scales).log().flatten().double()
        x = scales.values.log().flatten().double()
        counted = x.isfinite() & y.isfinite()
        pairs = _sums(x[counted], y[counted])
    largest = float(scales.values.abs().nan_to_num().amax())
    pairing = Pairing(scales.values.numel(), largest, pairs)
    return torch.bincount(raw, minlength=256), pairing


def _sums(x: Tensor, y: Tensor) -> Tensor:
    number = x.new_tensor(float(x.numel()))
    return torch.stack([number, x.sum(), y.sum(), x @ x, y @ y, x @ y])


def _mean_squares(chunk: StoredWeight, scales: Scales) -> Tensor:
    """Of the codes of each block."""
    out, columns = chunk.shape
    codes = dequantizer(chunk.format).codes(chunk)
    if scales.rows == 1:
        return codes.square().reshape(out, -1, scales.columns).mean(-1)
    filled = pad(codes, (0, -columns % scales.columns, 0, -out % scales.rows))
    tiles = filled.square().reshape(filled.shape[0] // scales.rows, scales.rows, -1, scales.columns)
    return tiles.mean((1, 3))
