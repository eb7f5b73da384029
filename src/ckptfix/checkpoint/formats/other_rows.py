"""The stored formats of quantizers other than ModelOpt.

Sources: compressed-tensors 0.19.0 and llm-compressor 0.14.0.1, auto-round 0.16.1, gptqmodel 7.7.0,
amd-quark 0.13, transformers 5.17.0 (fine-grained FP8, bitsandbytes 0.50.2) and the layout of the
published gpt-oss checkpoints; each checked on real exports, see `docs/formats.md`. Rows whose
scales or codes have no decoder use separate names for them, so that `verify` reports it.
"""

from typing import Final

from ckptfix.checkpoint.formats.format import (
    FLOATS,
    NUMBERS,
    TO_F32,
    Codes,
    Format,
    InputKind,
    ScaleLayout,
    Shape,
    ZeroPoints,
)
from ckptfix.checkpoint.formats.shapes import (
    any_blocks,
    bank_groups,
    column,
    flat_groups,
    groups,
    per_channel,
    row_groups,
    rows,
    scalar,
)

_BARE: Final = InputKind("unquantized", "BF16")
_ANY: Final = InputKind("by the metadata", "BF16 or quantized")
"""The tensors do not show whether inputs are quantized dynamically or not at all."""

_FP8: Final = Codes("FP8", "F8_E4M3", 8, "float", 448.0, 0.04, 0.004)
_INT8: Final = Codes("INT8", "I8", 8, "int", 127.0, 0.03, 0.004)
_FP4_PACKED: Final = Codes("FP4", "U8", 4, "float", 6.0, 0.17, 0.03, "in")


def _int(bits: int, dtype: str = "I32") -> Codes:
    largest = 2.0 ** (bits - 1) - 1
    return Codes(f"INT{bits}", dtype, bits, "int", largest, 2.0 ** (1 - bits), 0.03, "in")


def _gptq(bits: int) -> Codes:
    largest = 2.0 ** (bits - 1) - 1
    error = 2.0 ** (1 - bits)
    return Codes(f"INT{bits}", "I32", bits, "int", largest, error, 0.03, "in", transposed=True)


_INT4_OUT: Final = Codes("INT4", "I32", 4, "int", 7.0, 0.2, 0.03, "out", transposed=True)
_INT4_BYTES: Final = Codes("INT4", "I8", 4, "int", 7.0, 0.2, 0.03)
_FLAT_NF4: Final = Codes("NF4", "U8", 4, "float", 1.0, 0.2, 0.03, "flat")
_FLAT_FP4: Final = Codes("FP4", "U8", 4, "float", 1.0, 0.2, 0.03, "flat")
_FP4_BANK: Final = Codes("FP4", "U8", 4, "float", 6.0, 0.17, 0.03, "in", transposed=True)
_FP4_BLOCKS: Final = Codes("FP4", "U8", 4, "float", 6.0, 0.17, 0.03, "blocks")


def _group_or_channel(weight: Shape, scale: Shape) -> int | None:
    channel = column(weight, scale)
    return groups()(weight, scale) if channel is None else channel


_TENSOR: Final = ScaleLayout("one in the model's dtype", NUMBERS, scalar)
_CHANNEL: Final = ScaleLayout("rows in the model's dtype", TO_F32, rows)
_FP8_CHANNEL: Final = ScaleLayout("rows in the model's dtype", NUMBERS, rows)
_BLOCKS: Final = ScaleLayout("blocks in the model's dtype", FLOATS, any_blocks)
_INVERSE: Final = ScaleLayout("weight_scale_inv", FLOATS, any_blocks)
_INVERSE_TENSOR: Final = ScaleLayout("one weight_scale_inv", NUMBERS, scalar)
_GROUPS: Final = ScaleLayout("groups in the model's dtype", FLOATS, _group_or_channel)
_ROW_GROUPS: Final = ScaleLayout("groups in rows", FLOATS, row_groups)
_BY_16: Final = ScaleLayout("groups and a reciprocal", ("F8_E4M3",), groups(16))
_BANK_BY_16: Final = ScaleLayout("two levels in rows", ("F8_E4M3",), bank_groups)
_EXPONENTS: Final = ScaleLayout("packed exponents", ("U8",), groups(32))
_ABSMAX: Final = ScaleLayout("absmax", ("F32", "U8"), flat_groups)
_SCB: Final = ScaleLayout("SCB", ("F32",), per_channel)


def _packed_zeros(per_element: int) -> ZeroPoints:
    """Packed along the output, with scales along the input."""

    def shapes(_: Shape, scale: Shape) -> tuple[Shape, ...]:
        return ((*scale[:-2], -(-scale[-2] // per_element), scale[-1]),)

    return ZeroPoints("weight_zero_point", shapes)


def _row_zeros(bits: int, role: str = "qzeros") -> ZeroPoints:
    def shapes(_: Shape, scale: Shape) -> tuple[Shape, ...]:
        return ((scale[0], scale[1] * bits // 32),)

    return ZeroPoints(role, shapes, always=True)


_CT: Final = "compressed-tensors"
_QUARK: Final = "Quark"
_BNB: Final = "bitsandbytes"
_CT_OR_QUARK: Final = f"{_CT} or {_QUARK}"

_PLAIN_ZEROS: Final = ZeroPoints("weight_zero_point", always=True)
_INPUT: Final = ("input_scale",)
_ZERO: Final = ("weight_zero_point",)

_STATIC: Final = InputKind("NVFP4", "FP4", static=True, range=6.0 * 448.0)

# fmt: off
OTHER_FORMATS: Final = (
    # ModelOpt's too, of the experts of Llama 4: modelopt/torch/export/unified_export_hf.py 0.47.0
    # packs them along the input and stores them as the model does, `[experts, in, out]`.
    Format("NVFP4", _FP4_BANK, _BANK_BY_16, _STATIC, None, ("weight_scale_2", "input_scale"),
           second_level="full", scalars=FLOATS),
    Format("FP8_TENSOR", _FP8, _TENSOR, _ANY, may_have=_INPUT, scalars=NUMBERS,
           quantizer=_CT_OR_QUARK),
    Format("FP8_CHANNEL", _FP8, _FP8_CHANNEL, _ANY, may_have=_INPUT, scalars=NUMBERS,
           quantizer=_CT_OR_QUARK),
    Format("FP8_BLOCK", _FP8, _BLOCKS, _ANY, may_have=_INPUT, scalars=NUMBERS, quantizer=_CT),
    Format("FP8_BLOCK_INV", _FP8, _INVERSE, _ANY, scale="weight_scale_inv", is_native=True),
    Format("FP8_TENSOR_INV", _FP8, _INVERSE_TENSOR, _ANY, may_have=("activation_scale",),
           scale="weight_scale_inv", scalars=NUMBERS, is_native=True),
    Format("INT8_TENSOR", _INT8, _TENSOR, _ANY, scalars=NUMBERS, zeros=_PLAIN_ZEROS,
           may_have=("input_scale", "input_zero_point", "weight_zero_point"),
           quantizer=_CT_OR_QUARK),
    Format("INT8_CHANNEL", _INT8, _CHANNEL, _ANY, scalars=NUMBERS, zeros=_PLAIN_ZEROS,
           may_have=("input_scale", "input_zero_point", "weight_zero_point"),
           quantizer=_CT_OR_QUARK),
    Format("INT4_BYTES", _INT4_BYTES, ScaleLayout("groups in the model's dtype", FLOATS, groups()),
           _ANY, quantizer=_CT),
    Format("INT4_PACKED", _int(4), _GROUPS, _BARE, None, ("weight_shape",),
           (*_ZERO, "weight_g_idx"), weight="weight_packed", zeros=_packed_zeros(8),
           order="weight_g_idx", quantizer=_CT),
    Format("INT8_PACKED", _int(8), _GROUPS, _BARE, None, ("weight_shape",),
           (*_ZERO, "weight_g_idx"), weight="weight_packed", zeros=_packed_zeros(4),
           order="weight_g_idx", quantizer=_CT),
    Format("NVFP4_PACKED", _FP4_PACKED, _BY_16, _ANY, None, ("weight_global_scale",),
           ("input_global_scale",), weight="weight_packed", scalars=NUMBERS, quantizer=_CT),
    Format("MXFP4_PACKED", _FP4_PACKED, _EXPONENTS, _ANY, weight="weight_packed", quantizer=_CT),
    *(Format(f"GPTQ_INT{bits}", _gptq(bits), _ROW_GROUPS, _BARE, None, ("qzeros",), ("g_idx",),
             weight="qweight", scale="scales", zeros=_row_zeros(bits), order="g_idx",
             quantizer="GPTQ")
      for bits in (4, 8, 2, 3)),
    Format("AWQ_INT4", _INT4_OUT, _ROW_GROUPS, _BARE, None, ("qzeros",),
           weight="qweight", scale="scales", zeros=_row_zeros(4), quantizer="AWQ"),
    Format("QUARK_INT4", _INT4_OUT, _ROW_GROUPS, _BARE, None, _ZERO,
           zeros=_row_zeros(4, "weight_zero_point"), quantizer=_QUARK),
    Format("BNB_NF4", _FLAT_NF4, _ABSMAX, _BARE, None, ("quant_map", "quant_state_nf4"),
           ("nested_absmax", "nested_quant_map"), scale="absmax", quantizer=_BNB),
    Format("BNB_FP4", _FLAT_FP4, _ABSMAX, _BARE, None, ("quant_map", "quant_state_fp4"),
           ("nested_absmax", "nested_quant_map"), scale="absmax", quantizer=_BNB),
    Format("BNB_INT8", _INT8, _SCB, _BARE, None, ("weight_format",), scale="SCB",
           quantizer=_BNB),
    Format("MXFP4_BLOCKS", _FP4_BLOCKS, _EXPONENTS, _BARE, weight="blocks", scale="scales"),
)
# fmt: on
