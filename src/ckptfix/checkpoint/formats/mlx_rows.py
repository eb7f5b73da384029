"""The stored formats of MLX, Apple's array framework; no release of vLLM or SGLang reads them.

Source: mlx 0.30, mlx/ops.cpp `quantize` and python/mlx/nn/layers/quantized.py: codes along the
input in 32-bit words, and `biases` next to `scales` if the mode is `affine`.
"""

from typing import Final

from ckptfix.checkpoint.formats.format import Codes, Format, InputKind, ScaleLayout, Shape
from ckptfix.checkpoint.formats.shapes import groups

_FLOATS: Final = ("BF16", "F16", "F32")
_BARE: Final = InputKind("unquantized", "BF16")
_SIZES: Final = (32, 64, 128)
"""The group sizes that `affine` supports."""


def _affine_groups(weight: Shape, scale: Shape) -> int | None:
    size = groups()(weight, scale)
    return size if size in _SIZES else None


def _int(bits: int) -> Codes:
    largest = 2.0**bits - 1
    return Codes(f"INT{bits}", "U32", bits, "int", largest, 2.0 ** (1 - bits), 0.03, "in")


_FP4: Final = Codes("FP4", "U32", 4, "float", 6.0, 0.17, 0.03, "in")
_FP8: Final = Codes("FP8", "U32", 8, "float", 448.0, 0.04, 0.004, "in")
_AFFINE: Final = ScaleLayout("groups and biases", _FLOATS, _affine_groups)
_EXPONENTS: Final = ScaleLayout("exponents next to words", ("U8",), groups(32))
_BY_16: Final = ScaleLayout("bytes next to words", ("U8",), groups(16))

# fmt: off
MLX_FORMATS: Final = (
    *(Format(f"MLX_INT{bits}", _int(bits), _AFFINE, _BARE, None, ("biases",), scale="scales",
             quantizer="MLX")
      for bits in (4, 8, 2, 3, 6, 5)),
    Format("MLX_MXFP4", _FP4, _EXPONENTS, _BARE, scale="scales", quantizer="MLX"),
    Format("MLX_NVFP4", _FP4, _BY_16, _BARE, scale="scales", quantizer="MLX"),
    Format("MLX_MXFP8", _FP8, _EXPONENTS, _BARE, scale="scales", quantizer="MLX"),
)
# fmt: on
