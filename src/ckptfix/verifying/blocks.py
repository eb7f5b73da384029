"""Every byte of a weight and of its scales, counted and paired, in one pass over parts of it.

A part stays in the cache of a core while all of it is computed, and several cores take a part each:
from memory, and on one core, the same sums take ten times as long.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial, reduce
from operator import add
from typing import Final, TypeVar

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor
from torch.nn.functional import pad

from ckptfix.verifying.dequantize.fp4 import E2M1_MAX, squares_of_sixteens, table_of_fours
from ckptfix.verifying.dequantize.registry import dequantizer, in_chunks
from ckptfix.verifying.dequantize.scales import Scales
from ckptfix.verifying.stored import StoredWeight

_CPU_VALUES: Final = 1 << 19
"""Values of a part on a CPU: half a MiB of FP4, and four times that in between."""
_GPU_VALUES: Final = 1 << 24
"""A GPU has no use for small parts: each starts a dozen kernels."""

P = TypeVar("P")
R = TypeVar("R")


class Counted(Struct, frozen=True):
    """What the bytes of one weight, or of a part of it, add up to."""

    weight: Tensor
    """How often each byte occurs in the weight, int64 `[256]`."""
    blocks: int
    """Scales of the weight."""
    largest_scale: float
    """Absolute; NaN counts as 0."""
    pairs: Tensor
    """Float64 `[6]`: n, x, y, x x, y y and x y, summed over the n blocks that have a scale and a
    code above zero. x is the logarithm of the scale, y that of the root of the mean square of the
    codes; all zero for a single scale."""

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            self.weight + other.weight,
            self.blocks + other.blocks,
            max(self.largest_scale, other.largest_scale),
            self.pairs + other.pairs,
        )


def count_weight(stored: StoredWeight) -> Counted:
    """The bytes of a weight that has a decoder."""
    columns = _columns_of_sixteens(stored)
    if columns:
        return _count_sixteens(stored, columns)
    chunks = [chunk for _, chunk in in_chunks(stored, _values(stored))]
    whole = reduce(add, _each(_of_rows, chunks))
    has_one = stored.tensors["weight_scale"].numel() == 1  # each part has counted it
    return replace(whole, blocks=1) if has_one else whole


def _values(stored: StoredWeight) -> int:
    return _CPU_VALUES if stored.tensors["weight"].device.type == "cpu" else _GPU_VALUES


def _each(work: Callable[[P], R], parts: Sequence[P]) -> list[R]:
    """The same for every part, in order; threads share the parts on a CPU."""
    if len(parts) == 1 or torch.cuda.is_available():
        return [work(part) for part in parts]

    def inferring(part: P) -> R:
        with torch.inference_mode():  # of a thread, like everything in this process is
            return work(part)

    return list(_cores().map(inferring, parts))


@cache
def _cores() -> ThreadPoolExecutor:
    """A thread for each core, in which torch starts no further ones."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(before, "ckptfix-count", partial(torch.set_num_threads, 1))
    pool.submit(int).result()
    torch.set_num_threads(before)
    return pool


def _columns_of_sixteens(stored: StoredWeight) -> int:
    """Columns of a block of FP4 codes with a scale of one byte; 0 for any other weight."""
    weight, scale = stored.tensors["weight"], stored.tensors["weight_scale"]
    if stored.format.codes.name != "FP4" or scale.element_size() != 1 or scale.numel() < 2:
        return 0
    columns = 2 * weight.numel() // scale.numel()
    whole = columns * scale.numel() == 2 * weight.numel() and stored.shape[1] % columns == 0
    return columns if whole and columns % 16 == 0 else 0


def _scale_of_byte(stored: StoredWeight, columns: int) -> Tensor:
    """The factor that each byte of the scale stands for, F32 `[256]`."""
    scale = stored.tensors["weight_scale"]
    every = torch.arange(256, dtype=torch.uint8, device=scale.device).view(scale.dtype)
    one_block = stored.with_tensors(weight_scale=every.reshape(256, 1))
    made = dequantizer(stored.format).scales(replace(one_block, shape=(256, columns)))
    return made.values.reshape(256)


def _runs_of_blocks(stored: StoredWeight, columns: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Bytes of the weight, and those of the scales of the same blocks."""
    weight = stored.tensors["weight"].reshape(-1).view(torch.uint8)
    scale = stored.tensors["weight_scale"].reshape(-1).view(torch.uint8)
    step = _values(stored) // columns
    for start in range(0, scale.numel(), step):
        end = start + step
        yield weight[start * columns // 2 : end * columns // 2], scale[start:end]


def _count_sixteens(stored: StoredWeight, columns: int) -> Counted:
    """The bytes of FP4 codes, by the bytes of their scales."""
    sixteens = _sixteens(stored.tensors["weight"].device, columns)
    totals = reduce(add, _each(sixteens.count, list(_runs_of_blocks(stored, columns))))
    factors = _scale_of_byte(stored, columns)
    scale = stored.tensors["weight_scale"].reshape(-1).view(torch.uint8)
    used = torch.bincount(scale, minlength=256) > 0
    x = factors.double().log()
    x, number, y, yy = torch.stack((x, *totals[1:]))[:, x.isfinite()]
    return Counted(
        totals[0].long(),
        scale.numel(),
        float(factors[used].abs().nan_to_num().amax()),
        torch.stack([number.sum(), x @ number, y.sum(), (x * x) @ number, yy.sum(), x @ y]),
    )


class _Sixteens(Struct, frozen=True):
    """Counts blocks of FP4 codes, sixteen codes at a time."""

    columns: int
    """Of a block."""
    squares: Tensor
    """`table_of_fours`."""
    logs: Tensor
    """Float64: of the root of the mean square of a block, by four times the sum of its squares."""

    def count(self, part: tuple[Tensor, Tensor]) -> Tensor:
        """For each byte: how often the weight has it; blocks with that scale, their y and y y.

        Float64 `[4, 256]`; blocks of zeros, which have no logarithm, are left out.
        """
        weight, scale = part
        total = squares_of_sixteens(weight, self.squares)
        if self.columns > 16:
            total = total.reshape(-1, self.columns // 16).sum(1)
        if not bool(total.all()):
            scale, total = scale[total > 0], total[total > 0]
        y = self.logs.index_select(0, total)
        return torch.stack(
            [
                torch.bincount(weight, minlength=256).double(),
                torch.bincount(scale, minlength=256).double(),
                torch.bincount(scale, y, minlength=256),
                torch.bincount(scale, y * y, minlength=256),
            ]
        )


@cache
def _sixteens(device: torch.device, columns: int) -> _Sixteens:
    most = int(4 * E2M1_MAX**2) * columns
    sums = torch.arange(most + 1, device=device, dtype=torch.float64)
    return _Sixteens(columns, table_of_fours(device), 0.5 * (sums / (4 * columns)).log())


def _of_rows(chunk: StoredWeight) -> Counted:
    raw = chunk.tensors["weight"].reshape(-1).view(torch.uint8)
    scales = dequantizer(chunk.format).scales(chunk)
    pairs = raw.new_zeros(6, dtype=torch.float64)
    if scales.values.numel() > 1:
        y = 0.5 * _mean_squares(chunk, scales).log().flatten().double()
        x = scales.values.log().flatten().double()
        counted = x.isfinite() & y.isfinite()
        pairs = _sums(x[counted], y[counted])
    largest = float(scales.values.abs().nan_to_num().amax())
    return Counted(torch.bincount(raw, minlength=256), scales.values.numel(), largest, pairs)


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
