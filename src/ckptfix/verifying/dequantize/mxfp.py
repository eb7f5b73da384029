"""The MX formats: FP8 or FP4 values with E8M0 scales for groups of 32 input columns.

Source: OCP Microscaling Formats (MX) Specification 1.0.
"""

import torch
from torch import Tensor

from ckptfix.verifying.dequantize.scales import Scales, grid
from ckptfix.verifying.stored import StoredWeight


def exponents(stored: StoredWeight) -> Scales:
    """A power of two for each group."""
    return grid(stored, e8m0(stored.tensors["weight_scale"]))


def e8m0(data: Tensor) -> Tensor:
    """E8M0 bytes as F32: e is 2^(e - 127), subnormal for 0; 255 is NaN (section 5.4.1)."""
    return data.view(torch.float8_e8m0fnu).float()
