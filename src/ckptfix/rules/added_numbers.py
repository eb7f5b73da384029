"""CKF80x: what AWQ and SVDQuant store in addition to a weight."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.formats.table import format_named
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.numbers import found

FAMILY: Final = Family("CKF8", "numbers")

_AWQ_PRODUCT: Final = (0.35, 2.8)


@FAMILY.rule(
    "CKF808",
    "pre_quant_scale is outside the range AWQ produces",
    Severity.ERROR,
    why=(
        "AWQ normalises its scales so that the product of the largest and the smallest is 1 "
        "(nvidia-modelopt 0.47.0, modelopt/torch/quantization/model_calib.py). The runtime "
        "multiplies the input of the layer by them."
    ),
    fix="Export the module again.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.up_proj.pre_quant_scale: from 0.5 to 40
    + layers.0.mlp.up_proj.pre_quant_scale: from 0.112 to 8.94
    """,
)
def awq_magnitude(context: Context) -> Iterable[Finding]:
    """Largest times smallest value of pre_quant_scale."""
    low, high = _AWQ_PRODUCT
    for numbers in context.numbers.modules.values():
        scale = numbers.scales.get("pre_quant_scale")
        row = format_named(numbers.quant_algo)
        if scale is None or row is None or row.smoothing != "awq" or scale.smallest <= 0:
            continue
        product = scale.smallest * scale.largest
        if not low < product < high:
            message = (
                "has a pre_quant_scale whose largest and smallest values multiply to "
                f"{product:.1e} instead of 1"
            )
            yield found(context, numbers, message, role="pre_quant_scale")


_MOST_ALONG: Final = 0.25
"""Rounding to FP4 alone gives 0.1."""
_STEP: Final = (0.75, 1.5)


@FAMILY.rule(
    "CKF809",
    "low-rank factors do not match the weight",
    Severity.ERROR,
    why=(
        "SVDQuant moves the largest singular vectors of the weight into two low-rank factors "
        "and quantizes the residual. So lora_a is orthonormal, the residual is orthogonal to "
        "both factors, and its spectrum continues where theirs ends. If not, the layer adds "
        "something that was never subtracted from the weight."
    ),
    fix="Export the module again.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
      layers.0.mlp.up_proj.svdquant_lora_a: orthonormal rows
    - layers.0.mlp.up_proj.svdquant_lora_b: every value is 0
    + layers.0.mlp.up_proj.svdquant_lora_b: from -0.41 to 0.38
    """,
)
def foreign_low_rank(context: Context) -> Iterable[Finding]:
    """Low-rank factors whose spectrum the residual does not continue."""
    low, high = _STEP
    for numbers in context.numbers.modules.values():
        part = numbers.low_rank
        if part is None:
            continue
        if part.is_zero:
            message = "has an all-zero lora_b"
            yield found(context, numbers, message, role="svdquant_lora_b")
        elif not part.orthogonality < 0.05:
            message = f"has a lora_a that is {part.orthogonality:.1%} off an orthonormal set"
            yield found(context, numbers, message, role="svdquant_lora_a")
        elif not part.along_input < _MOST_ALONG:
            message = "has a residual that overlaps with lora_a"
            yield found(context, numbers, message, role="svdquant_lora_a")
        elif not part.along_output < _MOST_ALONG:
            message = "has a residual that overlaps with lora_b"
            yield found(context, numbers, message, role="svdquant_lora_b")
        elif not low < part.step < high:
            message = (
                f"has a lora_b whose spectrum ends at {part.step:.0%} of where the residual begins"
            )
            yield found(context, numbers, message, role="svdquant_lora_b")
