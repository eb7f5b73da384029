"""What the Marlin kernels of SGLang support; for the rest, it has others."""

from typing import Final

from ckptfix.runtimes.common.methods import NotKnownError, number

_GROUPS: Final = (-1, 32, 64, 128)
"""sglang 0.5.23, sglang/srt/layers/quantization/marlin_utils.py."""


def marlin_group(value: object) -> int:
    """A group size that Marlin supports.

    Raises:
        NotKnownError: it is none; that of other kernels was not read.
    """
    size = number(value)
    if size not in _GROUPS:
        raise NotKnownError(f"groups of {value}")
    return size
