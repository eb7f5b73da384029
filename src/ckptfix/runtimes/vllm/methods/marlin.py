"""What vLLM's preferred CUDA kernels for packed integers support."""

from typing import Final

from ckptfix.runtimes.common.methods import NotKnownError, number

Tile = tuple[int, int]
"""Rows and columns."""
NO_TILE: Final[Tile] = (1, 1)
TILE: Final[Tile] = (64, 128)
EXPERT_TILE: Final[Tile] = (128, 128)
"""What Marlin takes multiples of where a release does not pad: linear layers before 0.24.0, and
experts before 0.28.0 (vllm/model_executor/layers/quantization/utils/marlin_utils.py
`verify_marlin_supports_shape` and `check_moe_marlin_supports_layer`, of each release)."""
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
