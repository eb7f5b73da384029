"""FP8 E4M3: a byte a value; scaled by tensor, by output feature or by blocks of 128 x 128."""

import torch
from torch import Tensor

from ckptfix.verifying.dequantize.scales import Scales, per_tensor
from ckptfix.verifying.stored import ROW_BLOCK, StoredWeight

E4M3_MAX = 448.0


def codes(stored: StoredWeight) -> Tensor:
    """The values before scaling."""
    return stored.tensors["weight"].float()


def block_scales(stored: StoredWeight) -> Scales:
    """Scales of `fp8_pb_wo` (four dimensions, a scalar for one block) and `fp8_pb_real` (two)."""
    scale = stored.tensors["weight_scale"].float()
    if scale.numel() == 1:
        return per_tensor(stored)
    row_blocks, column_blocks = (size for size in _two_dimensions(scale.shape))
    return Scales(scale.reshape(row_blocks, column_blocks), ROW_BLOCK, ROW_BLOCK)


def _two_dimensions(shape: torch.Size) -> tuple[int, int]:
    """`[rows, 1, columns, 1]` or `[rows, columns]`."""
    return (shape[0], shape[2]) if len(shape) == 4 else (shape[0], shape[1])


def to_e4m3(values: Tensor) -> Tensor:
    """Rounded to the nearest E4M3; values out of range become the largest one."""
    return values.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
