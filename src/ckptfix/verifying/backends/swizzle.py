"""Scale factors in the order in which Blackwell tensor cores read them."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def swizzled(scales: Tensor) -> Tensor:
    """`[rows, groups]` -> a flat tensor of tiles of 128 x 4, filled up with zeros.

    In a tile the byte of row r and group g is at (r mod 32) * 16 + (r div 32) * 4 + g.

    Source: cuBLAS documentation, 1D block scaling factors layout; CUTLASS calls it 32x4x4.
    """
    raw = scales.view(torch.uint8)
    rows, groups = raw.shape
    raw = pad(raw, (0, -groups % 4, 0, -rows % 128))
    tiles = raw.reshape(raw.shape[0] // 128, 4, 32, raw.shape[1] // 4, 4)
    return tiles.permute(0, 3, 2, 1, 4).reshape(-1).view(scales.dtype)
