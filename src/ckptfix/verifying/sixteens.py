"""FP4 codes in blocks of sixteen, or of a multiple of it, with a scale of one byte each.

Of a block, only two small numbers count: the sum of the squares of its codes, an integer, and the
byte of its scale. So nothing is decoded: four codes at a time are looked up in a table.
"""

from collections.abc import Iterator, Sequence
from functools import cache, reduce
from operator import add
from typing import Final

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from ckptfix.verifying.cores import each_run
from ckptfix.verifying.counted import Codes, Pairing, codes_of
from ckptfix.verifying.dequantize.fp4 import (
    E2M1_MAX,
    SIXES,
    ZEROS,
    table_of_fours,
    totals_of_sixteens,
)
from ckptfix.verifying.dequantize.registry import dequantizer
from ckptfix.verifying.stored import StoredWeight

_CPU_VALUES: Final = 1 << 21
"""Values of a part on a CPU: 1 MiB of codes. Smaller parts have threads wait for each other, larger
ones leave the cache of a core."""
_GPU_VALUES: Final = 1 << 24
"""A GPU has no use for small parts: each starts a dozen kernels."""


def columns_of_sixteens(stored: StoredWeight) -> int:
    """Columns of a block of FP4 codes with a scale of one byte; 0 for any other weight."""
    weight, scale = stored.tensors["weight"], stored.tensors["weight_scale"]
    if stored.format.codes.name != "FP4" or scale.element_size() != 1 or scale.numel() < 2:
        return 0
    columns = 2 * weight.numel() // scale.numel()
    whole = columns * scale.numel() == 2 * weight.numel() and stored.shape[1] % columns == 0
    return columns if whole and columns % 16 == 0 else 0


def count_sixteens(stored: StoredWeight, columns: int) -> tuple[Codes, Pairing]:
    """The codes and the scales of a weight for which `columns_of_sixteens` has a number."""
    weight = stored.tensors["weight"].reshape(-1).view(torch.uint8)
    scale = stored.tensors["weight_scale"].reshape(-1).view(torch.uint8)
    tables = _tables(weight.device, columns)
    first, last = (int(end) for end in scale.aminmax())
    counter = _Counter(columns, tables, first, last)
    found = reduce(add, each_run(counter.count, list(_parts(weight, scale, columns))))
    factors = _scale_of_byte(stored, columns)[first : last + 1]
    sums = (found.blocks.double() @ tables.of_squares).T
    squares, sixes = int(sums[4].sum()), int(found.sixes)
    zeros = (int(found.totals) - squares - (sixes << SIXES)) >> ZEROS
    largest = float(factors[sums[0] > 0].abs().nan_to_num().amax())
    pairing = Pairing(scale.numel(), largest, _pairs(factors.double().log(), sums))
    if sixes:
        return Codes(0, zeros, sixes, E2M1_MAX), pairing
    return codes_of(stored, torch.bincount(weight, minlength=256)), pairing  # no real weight


def _pairs(x: Tensor, sums: Tensor) -> Tensor:
    """`Pairing.pairs`, without scales that have no logarithm."""
    x, _, number, y, yy, _ = torch.stack((x, *sums))[:, x.isfinite()]
    return torch.stack([number.sum(), x @ number, y.sum(), (x * x) @ number, yy.sum(), x @ y])


def _parts(weight: Tensor, scale: Tensor, columns: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Bytes of codes, and those of the scales of the same blocks."""
    step = (_CPU_VALUES if weight.device.type == "cpu" else _GPU_VALUES) // columns
    for start in range(0, scale.numel(), step):
        end = start + step
        yield weight[start * columns // 2 : end * columns // 2], scale[start:end]


def _scale_of_byte(stored: StoredWeight, columns: int) -> Tensor:
    """The factor that each byte of the scale stands for, F32 `[256]`."""
    scale = stored.tensors["weight_scale"]
    every = torch.arange(256, dtype=torch.uint8, device=scale.device).view(scale.dtype)
    one_block = stored.with_tensors(weight_scale=every.reshape(256, 1))
    made = dequantizer(stored.format).scales(replace(one_block, shape=(256, columns)))
    return made.values.reshape(256)


class _Tables(Struct, frozen=True):
    """What is looked up, or multiplied with."""

    fours: Tensor
    """`table_of_fours`."""
    ones: Tensor
    """Int32, for the blocks of a part."""
    of_squares: Tensor
    """Float64 `[squares, 5]`, for each sum of four times the squares of a block: 1, then 1 if it is
    not 0, y, y y (`Pairing.pairs`), and the sum itself."""


@cache
def _tables(device: torch.device, columns: int) -> _Tables:
    ones = torch.ones(_GPU_VALUES // columns, dtype=torch.int32, device=device)
    sums = torch.arange(int(4 * E2M1_MAX**2) * columns + 1, device=device, dtype=torch.float64)
    y = (0.5 * (sums / (4 * columns)).log()).nan_to_num(neginf=0.0)  # zeros have no logarithm
    of_squares = torch.stack((torch.ones_like(y), sums.sign(), y, y * y, sums), 1)
    return _Tables(table_of_fours(device), ones, of_squares)


class _Found(Struct, frozen=True):
    """What some blocks add up to."""

    blocks: Tensor
    """Int32 `[scales, squares]`: how many have that scale, and four times that sum of squares."""
    totals: Tensor
    """Int64: the sum of all numbers that were looked up (`table_of_fours`)."""
    sixes: Tensor
    """Int64: how many codes are 6 or -6."""

    def __add__(self, other: "_Found") -> "_Found":
        return _Found(
            self.blocks + other.blocks, self.totals + other.totals, self.sixes + other.sixes
        )


class _Counter(Struct, frozen=True):
    """Counts blocks of one weight."""

    columns: int
    """Of a block."""
    tables: _Tables
    first: int
    """The lowest byte of a scale."""
    last: int
    """The highest."""

    def count(self, parts: Sequence[tuple[Tensor, Tensor]]) -> _Found:
        """Some parts of it, in few calls: threads wait for each other between any two."""
        fours, ones = self.tables.fours, self.tables.ones
        scales, most = self.last - self.first + 1, len(self.tables.of_squares)
        blocks = ones.new_zeros(scales * most)
        totals = sixes = ones.new_zeros((), dtype=torch.int64)
        for weight, scale in parts:
            found = totals_of_sixteens(weight, fours)
            totals, sixes = totals + found.sum(), sixes + (found >> SIXES).sum(dtype=torch.int32)
            squares = found & ((1 << ZEROS) - 1)
            if self.columns > 16:
                squares = squares.reshape(scale.numel(), -1).sum(1, dtype=torch.int32)
            pair = (scale - self.first).int().mul_(most).add_(squares)
            blocks.index_add_(0, pair, ones[: scale.numel()])
        return _Found(blocks.reshape(scales, most), totals, sixes)
