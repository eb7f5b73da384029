"""FP4 E2M1: two values per byte along the input, the low half first."""

import torch
from torch import Tensor

from ckptfix.verifying.stored import StoredWeight

E2M1_MAX = 6.0
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Values of the codes 0 to 7; bit 3 of a code is the sign."""
ZEROS, SIXES = 12, 17
"""Where numbers begin in `table_of_fours`."""


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
    """Int32 `[65536]`: what the four values of two bytes add up to, three numbers in one.

    The lowest is four times the sum of their squares, then come how many are 0, from bit `ZEROS`
    on, and how many are 6 or -6, from bit `SIXES` on; there is room for those of sixteen values.
    """
    values = _values(device)
    squares, zeros, sixes = 4 * values.square(), values == 0, values.abs() == E2M1_MAX
    one = squares.int() + zeros.int() * (1 << ZEROS) + sixes.int() * (1 << SIXES)
    two = one.repeat(16) + one.repeat_interleave(16)
    return two.repeat(256) + two.repeat_interleave(256)


def totals_of_sixteens(data: Tensor, table: Tensor) -> Tensor:
    """`[8 n]` bytes -> int32 `[n]`: what sixteen values each add up to, as in the table.

    Args:
        data: bytes.
        table: `table_of_fours`.
    """
    fours = table.index_select(0, data.view(torch.uint16).int())
    return fours.reshape(-1, 4).sum(1, dtype=torch.int32)


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
