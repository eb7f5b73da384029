"""What vLLM's preferred CUDA kernels for packed integers support."""

from typing import Final

from ckptfix.runtimes.common.methods import NotKnownError, number

_GROUPS: Final = (-1, 32, 64, 128)
"""vllm 0.33.0, vllm/model_executor/layers/quantization/utils/marlin_utils.py."""


def marlin_group(value: object) -> int:
    """A group size that Marlin supports; that of other kernels was not read.

    Raises:
        NotKnownError: it is none.
    """
    size = number(value)
    if size not in _GROUPS:
        raise NotKnownError(f"groups of {value}")
    return size
