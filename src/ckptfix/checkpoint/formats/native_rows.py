"""Formats that models are published in before anyone quantizes them, and scales with other names.

A quantizer that only quantizes experts leaves all other layers as they were. Sources: vLLM 0.33.0,
vllm/models/deepseek_v4/nvidia/model.py (`_make_deepseek_v4_weights_mapper`, `load_weights`) and
vllm/models/minimax_m3/nvidia/model.py; SGLang 0.5.23, sglang/srt/models/deepseek_v4.py
(`remap_weight_name_to_dpsk_hf_format`) and sglang/srt/layers/quantization/fp8.py.
"""

from typing import Final

from ckptfix.checkpoint.formats.format import Codes, Format, InputKind, ScaleLayout
from ckptfix.checkpoint.formats.shapes import blocks, groups

_FP8: Final = Codes("FP8", "F8_E4M3", 8, "float", 448.0, 0.04, 0.004)
_FP4: Final = Codes("FP4 in I8", "I8", 4, "float", 6.0, 0.17, 0.03, "in")
_FP8_GROUP: Final = InputKind("FP8 group", "FP8")
_MXFP8: Final = InputKind("MXFP8", "FP8")
_BARE: Final = InputKind("unquantized", "BF16")

BLOCK_FP8: Final = "FP8_BLOCK_INV"
"""FP8 in blocks of 128 x 128, whose scales multiply; `weight_scale_inv` in most checkpoints."""
_BLOCKS: Final = blocks(four_dimensional=False)
_EXPONENT_BLOCKS: Final = ScaleLayout("blocks of exponents", ("F8_E8M0",), _BLOCKS)
_SCALE_BLOCKS: Final = ScaleLayout("blocks called scale", ("F8_E8M0", "F32", "BF16"), _BLOCKS)
_EXPONENTS: Final = ScaleLayout("exponents", ("U8", "F8_E8M0"), groups(32))

# fmt: off
NATIVE_FORMATS: Final = (
    Format(BLOCK_FP8, _FP8, _EXPONENT_BLOCKS, _FP8_GROUP, scale="weight_scale_inv", is_native=True),
    Format(BLOCK_FP8, _FP8, _SCALE_BLOCKS, _FP8_GROUP, scale="scale", is_native=True),
    Format("MXFP8", _FP8, _EXPONENTS, _MXFP8, scale="weight_scale_inv"),
    Format("mxfp4", _FP4, _EXPONENTS, _BARE, scale="scale", is_native=True),
)
# fmt: on
