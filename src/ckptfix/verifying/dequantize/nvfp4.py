"""NVFP4: FP4 values, an E4M3 scale for each group of the input, one F32 scale for all.

NVFP4, its AWQ, SVDQuant and weight-only forms have groups of 16, W4A8_NVFP4_FP8 of 32.
"""

from ckptfix.verifying.dequantize.scales import Scales, grid
from ckptfix.verifying.stored import StoredWeight


def scales(stored: StoredWeight) -> Scales:
    """Both levels together."""
    block = stored.tensors["weight_scale"].float()
    return grid(stored, block * stored.scalar("weight_scale_2"))
