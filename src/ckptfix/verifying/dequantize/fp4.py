"""FP4 E2M1: two values per byte along the input, the low half first."""

import torch
from torch import Tensor

from ckptfix.verifying.stored import StoredWeight

E2M1_MAX = 6.0
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Values of the codes 0 to 7; bit 3 of a code is the sign."""


def _values(device: torch.device) -> Tensor:
    """Values of the codes 0 to 15."""
    return torch.tensor((*_E2M1, *(-value for value in _E2M1)), device=device)


def unpack(data: Tensor) -> Tensor:
    """`[..., n]` bytes -> `[..., 2 n]` values in F32."""
    values = _values(data.device)
    # Two F32 values are looked up as one of 64 bits: several times faster than individually.
    pairs = torch.stack((values.repeat(16), values.repeat_interleave(16)), 1).view(torch.int64)
    found = pairs.reshape(256).index_select(0, data.reshape(-1).int())
    return found.view(torch.float32).reshape(*data.shape[:-1], -1)


def codes(stored: StoredWeight) -> Tensor:
    """The values before scaling."""
    return unpack(stored.tensors["weight"])


def table_of_fours(device: torch.device) -> Tensor:
    """Int16 `[65536]`: four times the sum of the squares of the four values of two bytes.

    They are looked up as a number from -32768, plus 32768: masking it would take far longer.
    """
    squares = (4 * _values(device).square()).to(torch.int16)
    two = squares.repeat(16) + squares.repeat_interleave(16)
    return (two.repeat(256) + two.repeat_interleave(256)).roll(1 << 15)


def squares_of_sixteens(data: Tensor, table: Tensor) -> Tensor:
    """`[8 n]` bytes -> `[n]`, int64: four times the sum of the squares of sixteen values each.

    Args:
        data: bytes.
        table: `table_of_fours`.
    """
    fours = table.index_select(0, data.view(torch.int16).int().add_(1 << 15))
    # Four sums lie in one number of 64 bits; this product has their total in its upper 16 bits.
    return fours.view(torch.int64).mul_(0x0001_0001_0001_0001).bitwise_right_shift_(48)


def pack(values: Tensor) -> Tensor:
    """`[..., 2 n]` values of E2M1 -> `[..., n]` bytes."""
    grid = torch.tensor(_E2M1, device=values.device)
    nibbles = torch.searchsorted(grid, values.abs().contiguous()).to(torch.uint8)
    nibbles = nibbles | (torch.signbit(values).to(torch.uint8) << 3)
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)


def to_e2m1(values: Tensor) -> Tensor:
    """Rounded to the nearest E2M1, ties to the even code, in F32; 6 beyond the range."""
    size = values.abs()
    steps = (size > 0.25, size >= 0.75, size > 1.25, size >= 1.75, size > 2.5, size >= 3.5)
    code = torch.stack((*steps, size > 5.0)).sum(0)
    grid = torch.tensor(_E2M1, device=values.device)
    return torch.copysign(grid[code], values)
