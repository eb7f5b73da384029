"""Every stored format: one row per algorithm that ModelOpt exports, then those of others.

Sources: nvidia-modelopt 0.23.0 to 0.47.0, modelopt/torch/export/quant_utils.py,
unified_export_hf.py, convert_hf_config.py and modelopt/torch/quantization/config.py (how each
preset quantizes activations); checked on real exports, see `docs/formats.md`. GPUs: torch 2.13.0
`torch.nn.functional.scaled_mm` and aten/src/ATen/native/cuda/ScaledBlas.cpp; vLLM 0.33.0,
vllm/model_executor/layers/quantization/modelopt.py and vllm/model_executor/kernels/linear/.
"""

from typing import Final

from ckptfix.checkpoint.formats.format import (
    NUMBERS,
    Codes,
    Format,
    Gemm,
    GpuNeed,
    InputKind,
    ScaleLayout,
)
from ckptfix.checkpoint.formats.mlx_rows import MLX_FORMATS
from ckptfix.checkpoint.formats.native_rows import NATIVE_FORMATS
from ckptfix.checkpoint.formats.other_rows import OTHER_FORMATS
from ckptfix.checkpoint.formats.shapes import blocks, groups, per_channel, scalar

# Errors are those of rounding, with room: on real exports a weight of FP8 has a relative error of
# 0.027, INT8 0.006, NVFP4 0.097, MXFP4 0.12, INT4 0.12.
FP8: Final = Codes("FP8", "F8_E4M3", 8, "float", 448.0, 0.04, 0.004)
FP4: Final = Codes("FP4", "U8", 4, "float", 6.0, 0.17, 0.03, "in")
INT8: Final = Codes("INT8", "I8", 8, "int", 127.0, 0.03, 0.004)
INT4: Final = Codes("INT4", "U8", 4, "int", 7.0, 0.2, 0.03, "out")

_MOST_ZERO_BLOCKS: Final = 0.01
"""An E4M3 scale of a block far below the others rounds to zero, with no harm."""
_MOST_ZERO_EXPONENTS: Final = 0.5
"""The smallest exponent represents a block of zeros; a padded weight has many."""


def _two_levels(size: int) -> ScaleLayout:
    return ScaleLayout(
        "two levels", ("F8_E4M3",), groups(size), _MOST_ZERO_BLOCKS, shared="weight_scale_2"
    )


TENSOR: Final = ScaleLayout("tensor", NUMBERS, scalar, shared="weight_scale")
ROWS: Final = ScaleLayout("channel", NUMBERS, per_channel)
CHANNEL: Final = ScaleLayout("channel", ("F32",), per_channel)
BLOCKS_4D: Final = ScaleLayout("blocks", ("F32",), blocks(four_dimensional=True))
BLOCKS_2D: Final = ScaleLayout("blocks", ("F32",), blocks(four_dimensional=False))
GROUPS: Final = ScaleLayout("groups", ("F32",), groups())
EXPONENTS: Final = ScaleLayout("exponents", ("U8",), groups(32), _MOST_ZERO_EXPONENTS)
BY_16, BY_32 = _two_levels(16), _two_levels(32)

BARE: Final = InputKind("unquantized", "BF16")
FP8_TENSOR: Final = InputKind("FP8 tensor", "FP8", static=True, range=448.0)
FP8_TENSOR_OR_DYNAMIC: Final = InputKind("FP8 tensor or dynamic", "FP8", range=448.0)
FP8_TOKEN: Final = InputKind("FP8 token", "FP8")
FP8_GROUP: Final = InputKind("FP8 group", "FP8")
MXFP8_INPUT: Final = InputKind("MXFP8", "FP8")
NVFP4_INPUT: Final = InputKind("NVFP4", "FP4", static=True, range=6.0 * 448.0)
INT8_TENSOR: Final = InputKind("INT8 tensor", "INT8", static=True, range=127.0)

_MARLIN_FP4: Final = "vLLM uses Marlin W4A16 here"
_MARLIN_FP8: Final = "vLLM uses Marlin W8A16 here"
_FP8_GPU: Final = GpuNeed((8, 9), below=_MARLIN_FP8, on_cpu=True)
# cuBLASLt multiplies blocks of 128 x 128 on Hopper only.
_HOPPER: Final = GpuNeed((9, 0), newest=(9, 0), below=_MARLIN_FP8)
TENSOR_GEMM: Final = Gemm("tensor", _FP8_GPU, 16)
CHANNEL_GEMM: Final = Gemm("channel", _FP8_GPU, 16)
BLOCK_GEMM: Final = Gemm("blocks", _HOPPER, 128)
MXFP8_GEMM: Final = Gemm("mxfp8", GpuNeed((10, 0), below=_MARLIN_FP8), 32)
NVFP4_GEMM: Final = Gemm("nvfp4", GpuNeed((10, 0), below=_MARLIN_FP4), 32)
INT8_GEMM: Final = Gemm("int8", GpuNeed((7, 5), on_cpu=True), 16)

_INPUT: Final = ("input_scale",)
_SECOND: Final = ("weight_scale_2",)
_BOTH: Final = ("weight_scale_2", "input_scale")
_LORA: Final = ("svdquant_lora_a", "svdquant_lora_b")
_PQS: Final = ("pre_quant_scale",)

# fmt: off
FORMATS: Final = (
    Format("FP8", FP8, TENSOR, FP8_TENSOR, TENSOR_GEMM, may_have=_INPUT, has_config_group=True,
           scalars=NUMBERS),
    Format("FP8_PER_CHANNEL_PER_TOKEN", FP8, ROWS, FP8_TOKEN, CHANNEL_GEMM),
    Format("fp8_pb_wo", FP8, BLOCKS_4D, FP8_GROUP, BLOCK_GEMM),
    Format("fp8_pb_real", FP8, BLOCKS_2D, FP8_GROUP, BLOCK_GEMM),
    Format("MXFP8", FP8, EXPONENTS, MXFP8_INPUT, MXFP8_GEMM, may_have=_INPUT),
    Format("NVFP4", FP4, BY_16, NVFP4_INPUT, NVFP4_GEMM, _BOTH,
           second_level="full", has_config_group=True, scalars=NUMBERS),
    Format("NVFP4_AWQ", FP4, BY_16, NVFP4_INPUT, NVFP4_GEMM, _BOTH, _PQS, "awq", "full",
           scalars=NUMBERS),
    Format("NVFP4_SVD", FP4, BY_16, NVFP4_INPUT, NVFP4_GEMM, _BOTH + _LORA, _PQS, "awq", "full",
           has_config_group=True, scalars=NUMBERS),
    Format("W4A16_NVFP4", FP4, BY_16, BARE, None, _SECOND,
           second_level="full", has_config_group=True, scalars=NUMBERS),
    Format("W4A8_NVFP4_FP8", FP4, BY_32, FP8_TENSOR, None, _BOTH, second_level="room"),
    Format("W4A8_MXFP4_FP8", FP4, EXPONENTS, FP8_TENSOR_OR_DYNAMIC, may_have=_INPUT),
    Format("mxfp4", FP4, EXPONENTS, BARE),
    Format("W4A16_AWQ", INT4, GROUPS, BARE, None, (), _PQS, "awq"),
    Format("W4A8_AWQ", INT4, GROUPS, FP8_TENSOR, None, _BOTH, _PQS, "awq", "step"),
    Format("W8A16", INT8, CHANNEL, BARE),
    Format("W8A8_SQ_PER_CHANNEL", INT8, CHANNEL, INT8_TENSOR, INT8_GEMM, _INPUT + _PQS,
           smoothing="smoothquant"),
    *OTHER_FORMATS,
    *NATIVE_FORMATS,
    *MLX_FORMATS,
)
# fmt: on


def format_named(quant_algo: str | None) -> Format | None:
    """The format with this name in metadata, ignoring case."""
    name = (quant_algo or "").lower()
    return next((row for row in FORMATS if row.quant_algo.lower() == name), None)
