"""Which layer vLLM builds for a scheme of compressed-tensors.

Source: vllm 0.33.0, vllm/model_executor/layers/quantization/compressed_tensors/
(`compressed_tensors.py` `_get_scheme_from_parts`, schemes/, compressed_tensors_moe/), on CUDA.
"""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.runtimes.common.compressed import FP8_ROWS, INT8_ROWS, has_columns, is_float
from ckptfix.runtimes.common.methods import Layer, LayerKind, NotKnownError
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.vllm.methods.compressed_tensors_rows import CompressedRow
from ckptfix.runtimes.vllm.methods.marlin import TILE, marlin_group

_PACKED: Final = "pack-quantized"
_FLOAT_FORMATS: Final = ("float-quantized", "naive-quantized")


def layer_of(row: CompressedRow, fields: Mapping[str, Any], kind: LayerKind) -> Layer:
    """The layer.

    Args:
        row: of the release.
        fields: of the scheme, `weights` and `inputs` with every argument.
        kind: of the layer.

    Raises:
        LookupDisagreementError: the release raises.
        NotKnownError: what the release builds was not read.
    """
    weights, inputs = fields["weights"], fields["inputs"]
    made = (
        _four_bit_float(weights, inputs, kind)
        or _mxfp8(row, weights)
        or _packed_int(row, weights, inputs, fields["format"], kind)
        or _fp8(weights, inputs, fields["format"])
        or _int8(weights, inputs)
    )
    if made is None:
        bits, type_, strategy = weights["num_bits"], weights["type"], weights["strategy"]
        raise NotKnownError(f"{bits}-bit {type_}, {strategy}, {fields['format']}")
    return made


def _four_bit_float(
    weights: Mapping[str, Any], inputs: Mapping[str, Any] | None, kind: LayerKind
) -> Layer | None:
    takes = {"weight_packed", "weight_scale"}
    if is_float(weights, 4, 16) and weights["strategy"] == "tensor_group":
        takes.add("weight_global_scale")
        if inputs is not None and not (
            is_float(inputs, 4, 16) and inputs["strategy"] == "tensor_group"
        ):
            raise LookupDisagreementError("its inputs are quantized differently from its weights")
        # Experts have a parameter for the scale of their inputs in either case.
        over = (
            frozenset({"input_global_scale"})
            if kind == "experts" and inputs is None
            else frozenset()
        )
        return Layer(
            ("NVFP4_PACKED",),
            frozenset(takes | ({"input_global_scale"} if inputs else set())),
            frozenset(over),
        )
    if is_float(weights, 4, 32) and weights["strategy"] == "group":
        return Layer(("MXFP4_PACKED",), frozenset(takes))
    return None


def _mxfp8(row: CompressedRow, weights: Mapping[str, Any]) -> Layer | None:
    if is_float(weights, 8, 32) and weights["strategy"] == "group":
        if not row.has_mxfp8:
            raise LookupDisagreementError("it has no layer for MXFP8")
        return Layer(("MXFP8",), frozenset({"weight", "weight_scale"}))
    return None


def _packed_int(
    row: CompressedRow,
    weights: Mapping[str, Any],
    inputs: object,
    layout: object,
    kind: LayerKind,
) -> Layer | None:
    """The layer for weight-only integers."""
    static = not weights["dynamic"] and weights["strategy"] in ("channel", "group")
    if inputs is not None or not static or weights["type"] != "int" or layout != _PACKED:
        return None
    bits = weights["num_bits"]
    if bits not in (4, 8) or (kind == "experts" and not weights["symmetric"]):
        return None
    takes = {"weight_packed", "weight_scale", "weight_shape"}
    takes |= set() if weights["symmetric"] else {"weight_zero_point"}
    size = marlin_group(weights["group_size"]) if weights["strategy"] == "group" else -1
    tile = row.expert_tile if kind == "experts" else row.tile
    if weights["actorder"] in ("group", "dynamic"):
        if kind == "experts":
            raise NotKnownError(f"experts with actorder {weights['actorder']}")
        takes, tile = takes | {"weight_g_idx"}, TILE
    return Layer((f"INT{bits}_PACKED",), frozenset(takes), group_size=size, tile=tile)


def _fp8(
    weights: Mapping[str, Any], inputs: Mapping[str, Any] | None, layout: object
) -> Layer | None:
    is_static = not weights["dynamic"] and bool(weights["symmetric"])
    rows = FP8_ROWS.get(weights["strategy"])
    if weights["type"] != "float" or weights["num_bits"] != 8 or rows is None or not is_static:
        return None
    if layout not in _FLOAT_FORMATS or (inputs is not None and inputs["type"] != "float"):
        return None
    takes = {"weight", "weight_scale"}
    if inputs is not None and not inputs["dynamic"]:
        if inputs["strategy"] != "tensor" or weights["strategy"] == "block":
            return None
        takes.add("input_scale")
    if weights["strategy"] != "block":
        return Layer(rows, frozenset(takes), column_scales=has_columns(weights))
    block = weights["block_structure"]
    if not isinstance(block, list) or len(block) != 2:
        return None
    return Layer(rows, frozenset(takes), group_size=block[1], merged_rows=block[0])


def _int8(weights: Mapping[str, Any], inputs: Mapping[str, Any] | None) -> Layer | None:
    rows = INT8_ROWS.get(weights["strategy"])
    both = inputs is not None and (weights["num_bits"], inputs["num_bits"]) == (8, 8)
    if inputs is None or not both or weights["type"] != "int" or rows is None:
        return None
    if weights["dynamic"] or not weights["symmetric"]:
        return None
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
