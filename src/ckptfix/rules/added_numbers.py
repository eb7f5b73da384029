"""CKF80x: what AWQ and SVDQuant store beside a weight."""

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
    "pre_quant_scale has another magnitude than AWQ gives",
    Severity.ERROR,
    why=(
        "AWQ divides its scales by the root of the largest times the smallest, so that the product "
        "of both is 1 (nvidia-modelopt 0.47.0, modelopt/torch/quantization/model_calib.py). The "
        "input of the layer is multiplied with them."
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
            told = f"has a pre_quant_scale whose largest times smallest is {product:.1e}, not 1"
            yield found(context, numbers, told, role="pre_quant_scale")


_MOST_ALONG: Final = 0.25
"""Rounding to FP4 alone gives 0.1."""
_STEP: Final = (0.75, 1.5)


@FAMILY.rule(
    "CKF809",
    "low-rank part does not belong to the weight",
    Severity.ERROR,
    why=(
        "SVDQuant takes the largest singular vectors out of the weight and quantizes the rest: "
        "lora_a is orthonormal, nothing of the rest lies along either part, and the spectrum goes "
        "on where it was cut. Otherwise the layer adds something that was never taken out."
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
    """Low-rank parts that are no cut of the spectrum."""
    low, high = _STEP
    for numbers in context.numbers.modules.values():
        part = numbers.low_rank
        if part is None:
            continue
        if part.is_zero:
            told = "has a lora_b of zeros only"
            yield found(context, numbers, told, role="svdquant_lora_b")
        elif not part.orthogonality < 0.05:
            told = f"has a lora_a that is {part.orthogonality:.1%} off an orthonormal set"
            yield found(context, numbers, told, role="svdquant_lora_a")
        elif not part.along_input < _MOST_ALONG:
            told = "has a rest that lies along lora_a"
            yield found(context, numbers, told, role="svdquant_lora_a")
        elif not part.along_output < _MOST_ALONG:
            told = "has a rest that lies along lora_b"
            yield found(context, numbers, told, role="svdquant_lora_b")
        elif not low < part.step < high:
            told = f"has a lora_b whose spectrum ends at {part.step:.0%} of where the rest begins"
            yield found(context, numbers, told, role="svdquant_lora_b")
