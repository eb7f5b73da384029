"""Scales of every format as a grid of blocks."""

from msgspec import Struct
from torch import Tensor

from ckptfix.verifying.stored import StoredWeight


class Scales(Struct, frozen=True):
    """One factor for each block of a weight."""

    values: Tensor
    """F32 `[row blocks, column blocks]`."""
    rows: int
    """Rows of a block; the last block may have fewer."""
    columns: int
    """Columns of a block."""

    def over(self, codes: Tensor) -> Tensor:
        """Codes times their factors."""
        out, columns = codes.shape
        if self.rows == 1 and columns == self.columns * self.values.shape[1]:
            grouped = codes.reshape(out, -1, self.columns) * self.values[:, :, None]
            return grouped.reshape(out, columns)
        factors = self.values.repeat_interleave(self.rows, 0)[:out]
        return codes * factors.repeat_interleave(self.columns, 1)[:, :columns]


def per_tensor(stored: StoredWeight) -> Scales:
    """One `weight_scale` for the whole weight."""
    return Scales(stored.scalar("weight_scale").reshape(1, 1), *stored.shape)


def per_channel(stored: StoredWeight) -> Scales:
    """A `weight_scale` for each output feature."""
    return Scales(stored.tensors["weight_scale"].float().reshape(-1, 1), 1, stored.shape[1])


def per_group(stored: StoredWeight) -> Scales:
    """A `weight_scale` for each group of input columns of each output feature."""
    return grid(stored, stored.tensors["weight_scale"].float())


def grid(stored: StoredWeight, values: Tensor) -> Scales:
    """Factors `[out, groups]`."""
    return Scales(values, 1, stored.shape[1] // values.shape[1])
