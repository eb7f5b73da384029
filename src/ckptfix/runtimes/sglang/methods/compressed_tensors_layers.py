"""Which layer SGLang builds for a scheme of compressed-tensors.

Source: sglang 0.5.23, sglang/srt/layers/quantization/compressed_tensors/ (`compressed_tensors.py`
`_get_scheme_from_parts` and `get_moe_scheme`, schemes/), on CUDA with FP4 tensor cores.
"""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.runtimes.common.compressed import FP8_ROWS, INT8_ROWS, has_columns, is_float
from ckptfix.runtimes.common.methods import Layer, LayerKind, NotKnownError
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.sglang.methods.compressed_tensors_rows import CompressedRow
from ckptfix.runtimes.sglang.methods.marlin import marlin_group

_PACKED: Final = "pack-quantized"
_DENSE_FORMATS: Final = (
    "naive-quantized",
    "int-quantized",
    "float-quantized",
    "nvfp4-pack-quantized",
    _PACKED,
)

_Arguments = Mapping[str, Any]


def layer_of(
    row: CompressedRow, fields: Mapping[str, Any], kind: LayerKind, whole_format: object
) -> Layer:
    """The layer; experts in integers use the format of the whole file.

    Args:
        row: of the release.
        fields: of the scheme, `weights` and `inputs` with every argument, and `format`.
        kind: of the layer.
        whole_format: that of the file.

    Raises:
        LookupDisagreementError: the release raises.
        NotKnownError: what the release builds was not read.
    """
    weights, inputs = fields["weights"], fields["inputs"]
    layout = whole_format if fields["format"] is None else fields["format"]
    is_by_group = not weights["dynamic"] and weights["strategy"] in ("channel", "group")
    if row.floats_as_ints and weights["type"] == "float" and inputs is None and is_by_group:
        if kind != "experts" and layout != _PACKED:
            raise LookupDisagreementError(f"it has no layer for {layout}")
        raise NotKnownError(f"{weights['num_bits']}-bit float, {weights['strategy']}")
    if kind == "experts" and is_float(weights, 4, 32):
        raise NotKnownError("experts in MXFP4")
    if kind == "experts" and "mxfp4" in str(whole_format or ""):
        raise NotKnownError("experts in MXFP4")
    is_int = weights["type"] == "int" and not weights["dynamic"]
    if is_int and inputs is None and weights["strategy"] in ("channel", "group"):
        return _packed_int(row, weights, whole_format if kind == "experts" else layout, kind)
    if kind != "experts" and layout not in _DENSE_FORMATS:
        raise LookupDisagreementError(f"it has no layer for {layout}")
    made = _nvfp4(row, weights, inputs) or _fp8(weights, inputs) or _int8(weights, inputs, kind)
    if made is None:
        bits, type_, strategy = weights["num_bits"], weights["type"], weights["strategy"]
        raise LookupDisagreementError(f"it has no layer for {bits}-bit {type_}, {strategy}")
    return made


def _packed_int(row: CompressedRow, weights: _Arguments, layout: object, kind: LayerKind) -> Layer:
    bits = weights["num_bits"]
    if layout != _PACKED:
        raise LookupDisagreementError(f"it has no layer for integers in {layout}")
    if bits not in (4, 8) or weights["actorder"] in ("group", "dynamic"):
        raise NotKnownError(f"{bits} bits, {layout}, actorder {weights['actorder']}")
    if not weights["symmetric"] and not row.asymmetric_ints:
        raise LookupDisagreementError("it has no layer for integers with zero points")
    if kind == "experts" and not weights["symmetric"]:
        raise NotKnownError("experts with zero points")
    takes = {"weight_packed", "weight_scale", "weight_shape"}
    takes |= set() if weights["symmetric"] else {"weight_zero_point"}
    size = marlin_group(weights["group_size"]) if weights["strategy"] == "group" else -1
    over = frozenset({"weight_g_idx"})
    return Layer((f"INT{bits}_PACKED",), frozenset(takes), over, size)


def _nvfp4(row: CompressedRow, weights: _Arguments, inputs: _Arguments | None) -> Layer | None:
    if not is_float(weights, 4, 16) or weights["strategy"] != "tensor_group":
        return None
    takes = {"weight_packed", "weight_scale", "weight_global_scale"}
    if inputs is None:
        if not row.has_weight_only_nvfp4:
            raise LookupDisagreementError("it has no layer for NVFP4 weights with inputs in float")
        return Layer(("NVFP4_PACKED",), frozenset(takes))
    if not is_float(inputs, 4, 16) or inputs["strategy"] != "tensor_group":
        return None
    return Layer(("NVFP4_PACKED",), frozenset(takes | {"input_global_scale"}))


def _fp8(weights: _Arguments, inputs: _Arguments | None) -> Layer | None:
    rows = FP8_ROWS.get(weights["strategy"])
    is_plain = bool(weights["symmetric"]) and not weights["dynamic"]
    if weights["type"] != "float" or weights["num_bits"] != 8 or rows is None or not is_plain:
        return None
    takes = {"weight", "weight_scale"}
    if inputs is None and weights["strategy"] != "block":
        raise NotKnownError("FP8 weights with inputs in float")
    if inputs is None or inputs["type"] != "float":
        return None
    if not inputs["dynamic"]:
        takes.add("input_scale")
        if not inputs["symmetric"] or inputs["strategy"] != "tensor":
            return None
    return _fp8_layer(weights, rows, takes)


def _fp8_layer(weights: _Arguments, rows: tuple[str, ...], takes: set[str]) -> Layer | None:
    if weights["strategy"] != "block":
        return Layer(rows, frozenset(takes), column_scales=has_columns(weights))
    block = weights["block_structure"]
    if not isinstance(block, list) or len(block) != 2:
        return None
    return Layer(rows, frozenset(takes), group_size=block[1], merged_rows=block[0])


def _int8(weights: _Arguments, inputs: _Arguments | None, kind: LayerKind) -> Layer | None:
    rows = INT8_ROWS.get(weights["strategy"])
    if inputs is None or (weights["num_bits"], inputs["num_bits"]) != (8, 8) or rows is None:
        return None
    if weights["type"] != "int" or weights["dynamic"] or not weights["symmetric"]:
        return None
    if kind == "experts":
        raise LookupDisagreementError("it has no layer for experts in INT8")
    if inputs["dynamic"]:
        if inputs["strategy"] != "token":
            return None
        takes = frozenset({"weight", "weight_scale"})
        return Layer(rows, takes, column_scales=has_columns(weights))
    zero = set() if inputs["symmetric"] else {"input_zero_point"}
    if inputs["strategy"] != "tensor":
        return None
    takes = frozenset({"weight", "weight_scale", "input_scale", *zero})
    return Layer(rows, takes, column_scales=has_columns(weights))
