"""FP4 E2M1: two values a byte along the input, the low half first."""

import torch
from torch import Tensor

E2M1_MAX = 6.0
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Values of the codes 0 to 7; bit 3 of a code is the sign."""


def unpack(data: Tensor) -> Tensor:
    """`[..., n]` bytes -> `[..., 2 n]` values in F32."""
    values = torch.tensor((*_E2M1, *(-value for value in _E2M1)), device=data.device)
    halves = torch.stack((data & 0xF, data >> 4), dim=-1).flatten(-2)
    return values[halves.int()]


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
