"""INT4 of the AWQ formats: two values a byte along the OUTPUT, the low half first."""

import torch
from torch import Tensor

from ckptfix.verifying.stored import StoredWeight


def codes(stored: StoredWeight) -> Tensor:
    """The values before scaling, two's complement, in F32.

    `weight_scale_2` of W4A8_AWQ is not a factor of the weight, but the step of the FP8 GEMM.
    """
    data = stored.tensors["weight"]
    halves = torch.stack((data & 0xF, data >> 4), dim=1).flatten(0, 1).float()
    return torch.where(halves > 7, halves - 16, halves)
