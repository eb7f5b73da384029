"""Which GPU a format's GEMM needs, and what vLLM does on others.

Sources: torch 2.13.0 `torch.nn.functional.scaled_mm` and aten/src/ATen/native/cuda/ScaledBlas.cpp;
vLLM 0.33.0, vllm/model_executor/layers/quantization/modelopt.py and
vllm/model_executor/kernels/linear/.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ckptfix.verifying.device import Device

_MARLIN_FP4 = "vLLM uses Marlin W4A16 here"
_MARLIN_FP8 = "vLLM uses Marlin W8A16 here"


@dataclass(frozen=True)
class Need:
    """The compute capability that a quantized GEMM needs."""

    oldest: tuple[int, int]
    newest: tuple[int, int] = (99, 0)
    below: str = ""
    """What vLLM does on an older GPU."""
    on_cpu: bool = False

    def why_not(self, label: str, device: Device) -> str:
        """The sentence for a device that does not have it; empty for one that has."""
        wanted = ".".join(map(str, self.oldest))
        if device.capability is None:
            if self.on_cpu:
                return ""
            return f"{label} needs a GPU of compute capability {wanted}, this is a CPU"
        if self.oldest <= device.capability <= self.newest:
            return ""
        held = ".".join(map(str, device.capability))
        if device.capability > self.newest:
            return f"{label} needs compute capability {wanted}, this GPU has {held}"
        then = f"; {self.below}" if self.below else ""
        return f"{label} needs compute capability {wanted}, this GPU has {held}{then}"


_FP4 = Need((10, 0), below=_MARLIN_FP4)
_FP8 = Need((8, 9), below=_MARLIN_FP8, on_cpu=True)
# cuBLASLt multiplies blocks of 128 x 128 on Hopper only.
_FP8_BLOCKS = Need((9, 0), newest=(9, 0), below=_MARLIN_FP8)

NEEDS: Final[Mapping[str, Need]] = {
    "FP8": _FP8,
    "FP8_PER_CHANNEL_PER_TOKEN": _FP8,
    "fp8_pb_wo": _FP8_BLOCKS,
    "fp8_pb_real": _FP8_BLOCKS,
    "MXFP8": Need((10, 0), below="vLLM uses Marlin W8A16 here"),
    "NVFP4": _FP4,
    "NVFP4_AWQ": _FP4,
    "NVFP4_SVD": _FP4,
    "W8A8_SQ_PER_CHANNEL": Need((7, 5), on_cpu=True),
}

WEIGHT_ONLY: Final[Mapping[str, str]] = {
    "W4A16_NVFP4": "FP4 weights with BF16 input",
    "mxfp4": "FP4 weights with BF16 input",
    "W4A16_AWQ": "INT4 weights with BF16 input",
    "W8A16": "INT8 weights with BF16 input",
    "W4A8_NVFP4_FP8": "FP4 weights with FP8 input",
    "W4A8_MXFP4_FP8": "FP4 weights with FP8 input",
    "W4A8_AWQ": "INT4 weights with FP8 input",
}
"""Formats whose two sides differ, for which there is no GEMM in torch."""
