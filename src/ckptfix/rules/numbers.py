"""CKF80x: values of a module's own tensors; only `verify` reads weights, `check` finds nothing."""

from collections.abc import Iterable, Iterator
from typing import Final

from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.numbers import ModuleNumbers, ScaleNumbers
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.reading import place_of
from ckptfix.rules.reciprocals import reciprocal_roles

FAMILY: Final = Family("CKF8", "numbers")

EXPORT_AGAIN: Final = "export the module again"

_LARGEST_WEIGHT: Final = 65504.0
"""The largest F16 value, which no weight of a model exceeds."""
_SATURATED: Final = 0.2
"""Share of codes at the limit; real exports have below 0.03, weights of three values have more."""
_BELONGS: Final = -3.0
"""Standard deviations; unrelated values are above it in 999 of 1,000 cases, real exports are below
-4 even where they have 32 blocks."""
_LOWEST_TOP: Final = 200.0
"""Largest block scale of a weight: 448 by construction, 256 with four-over-six, and less where
the scales are searched (nvidia-modelopt 0.47.0, modelopt/torch/quantization/qtensor,
nvfp4_tensor.py)."""
_FEW: Final = 8
_PILE: Final = 0.15
"""Number of block scales at 448 that is normal, and the share of all that is not. If scales thin
out towards the largest, few are there."""
_TOP_WITH_ROOM: Final = (37.0, 80.0)
"""What weight_scale_2 allows in four-over-six: 448 / 6, in E4M3."""


def found(
    context: Context, numbers: ModuleNumbers, message: str, *, role: str = "weight"
) -> Finding:
    """A finding about one module."""
    return context.finding(
        subject=numbers.name,
        message=message,
        place=place_of(context.checkpoint, numbers.module, role),
        advice=EXPORT_AGAIN,
        modules=(numbers.module,),
    )


@FAMILY.rule(
    "CKF801",
    "scale is zero, negative or not a number",
    Severity.ERROR,
    why=(
        "Every value of the weight or of the input is multiplied by it. A zero makes the output "
        "of the layer zero, or divides by zero where the runtime uses the reciprocal. A single "
        "NaN spreads to every answer."
    ),
    fix="Calibrate and export again; metadata cannot fix tensors.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.up_proj.weight_scale = 0.0
    + layers.0.mlp.up_proj.weight_scale = 0.00171
    """,
)
def bad_scale(context: Context) -> Iterable[Finding]:
    """Companions with values that no calibration produces, or that dequantize beyond F16."""
    for numbers in context.numbers.modules.values():
        for role, scale in numbers.scales.items():
            if message := _bad(scale, numbers, role):
                yield found(context, numbers, f"has {message}", role=role)
        weight = numbers.weight
        inverted = any(role != "input_scale" for role in reciprocal_roles(numbers))
        if weight is not None and weight.largest > _LARGEST_WEIGHT and not inverted:
            message = f"dequantizes to weights as large as {weight.largest:.1e}"
            yield found(context, numbers, message, role="weight_scale")


_SIGNED: Final = ("scales",)
"""Scales in the layout of GPTQ and AWQ, which AutoRound tunes to negative ones too."""


def _bad(scale: ScaleNumbers, numbers: ModuleNumbers, role: str) -> str:
    of = f"in {scale.count:,} values of {role}" if scale.count > 1 else f"as {role}"
    if scale.not_finite:
        return f"{scale.not_finite:,} NaN or infinity {of}"
    if scale.negatives and role not in _SIGNED:
        return f"{scale.negatives:,} negative {of}"
    if scale.zeros > _zeros_allowed(numbers.quant_algo, role) * scale.count:
        return f"{scale.zeros:,} zero {of}"
    return ""


def _zeros_allowed(quant_algo: str, role: str) -> float:
    row = format_named(quant_algo)
    return row.scales.zeros if row is not None and role == "weight_scale" else 0.0


@FAMILY.rule(
    "CKF802",
    "weight is zero, saturated or not a number",
    Severity.ERROR,
    why=(
        "An expert that is all zero was never loaded or never quantized. Codes at the limit of "
        "the format were clipped because the scale is too small. The FP8 code 0x7f is NaN."
    ),
    fix="Export the module again.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.experts.3.up_proj.weight: every code is 0
    + layers.0.mlp.experts.3.up_proj.weight: codes from -6 to 6
    """,
)
def bad_weight(context: Context) -> Iterable[Finding]:
    """Weights whose codes are all zero, clipped or NaN."""
    for numbers in context.numbers.modules.values():
        weight = numbers.weight
        if weight is None:
            continue
        clipped = (weight.at_limit - weight.blocks) / weight.count
        if weight.not_a_number:
            yield found(context, numbers, f"has {weight.not_a_number:,} NaN in its weight")
        elif weight.zeros == weight.count:
            yield found(context, numbers, "has an all-zero weight")
        elif clipped > _SATURATED:
            message = f"has {clipped:.0%} of its codes at the limit of the format"
            yield found(context, numbers, message)


@FAMILY.rule(
    "CKF803",
    "scales do not match the weight",
    Severity.ERROR,
    why=(
        "A block with an outlier has a large scale, so its other codes are small. If scales and "
        "codes are not correlated in this way, the scales belong to another tensor or are in a "
        "different order, for example swizzled for a kernel before they were stored."
    ),
    fix="Export the module again, without post-processing for a kernel.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.up_proj.weight_scale: in the order of a kernel's tiles
    + layers.0.mlp.up_proj.weight_scale: row by row
    """,
)
def foreign_scales(context: Context) -> Iterable[Finding]:
    """Block scales and codes that are uncorrelated."""
    for numbers in context.numbers.modules.values():
        weight = numbers.weight
        if weight is not None and weight.pairing is not None and weight.pairing > _BELONGS:
            message = (
                f"has uncorrelated scales and weight codes ({round(weight.pairing)} standard "
                "deviations, expected -3 or below)"
            )
            yield found(context, numbers, message, role="weight_scale")


@FAMILY.rule(
    "CKF804",
    "block scales and weight_scale_2 are inconsistent",
    Severity.ERROR,
    why=(
        "weight_scale_2 is chosen so that the largest block scale equals the largest E4M3 "
        "value, 448 (NVFP4), or as the step size of the FP8 GEMM (W4A8_AWQ). If the block scales "
        "are far smaller, or many are at the limit, they were computed for a different "
        "weight_scale_2."
    ),
    fix="Export the module again.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.up_proj.weight_scale: up to 28
    + layers.0.mlp.up_proj.weight_scale: up to 448
      layers.0.mlp.up_proj.weight_scale_2 = 0.000153
    """,
)
def two_levels(context: Context) -> Iterable[Finding]:
    """Block scales compared with weight_scale_2, for the modules of a layer that share one."""
    groups: dict[tuple[str, str, str], list[ModuleNumbers]] = {}
    for numbers in context.numbers.modules.values():
        second = numbers.scales.get("weight_scale_2")
        if second is not None and "weight_scale" in numbers.scales:
            # ModelOpt gives modules with one input the largest weight_scale_2 of them.
            key = _layer(numbers.name), second.digest, numbers.quant_algo
            groups.setdefault(key, []).append(numbers)
    for members in groups.values():
        yield from _contradictions(context, members)


def _contradictions(context: Context, members: list[ModuleNumbers]) -> Iterator[Finding]:
    tops = [member.scales["weight_scale"].largest for member in members]
    highest = members[tops.index(max(tops))]
    row = format_named(highest.quant_algo)
    level = row.second_level if row is not None else "full"
    if level == "step":
        wanted = 7 * max(tops) / 448
        stored = highest.scales["weight_scale_2"].largest
        if not 0.99 < stored / max(wanted, 1e-30) < 1.01:
            message = f"has weight_scale_2 {stored:.3e}, but its group scales require {wanted:.3e}"
            yield found(context, highest, message, role="weight_scale_2")
        return
    low, high = _TOP_WITH_ROOM
    top = max(tops)
    if level == "room" and high < top < _LOWEST_TOP * 2:
        message = f"has block scales up to {top:g}, but weight_scale_2 only allows {448 / 6:.0f}"
        yield found(context, highest, message, role="weight_scale")
    elif top < (low if level == "room" else _LOWEST_TOP):
        message = f"has block scales up to only {top:g}, although weight_scale_2 allows 448"
        yield found(context, highest, message, role="weight_scale")
    for member in members:
        scale = member.scales["weight_scale"]
        if scale.at_limit > _FEW and scale.at_limit > min(scale.near_limit, _PILE * scale.count):
            message = f"has {scale.at_limit:,} block scales at 448 and {scale.near_limit:,} near it"
            yield found(context, member, message, role="weight_scale")


def _layer(name: str) -> str:
    """The name up to the number of the decoder layer."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts) - 2)
    return ".".join(parts[: number + 1])


@FAMILY.rule(
    "CKF806",
    "input_scale is exactly 1",
    Severity.WARNING,
    why=(
        "1 is the initial value of the parameter. The layer was never calibrated, so the "
        "runtime clips its input or uses only part of its range."
    ),
    fix="Calibrate with data that reaches the layer and export again.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.experts.3.up_proj.input_scale = 1.0
    + layers.0.mlp.experts.3.up_proj.input_scale = 0.00412
    """,
)
def uncalibrated(context: Context) -> Iterable[Finding]:
    """Static input scales that still have their initial value."""
    for numbers in context.numbers.modules.values():
        scale = numbers.scales.get("input_scale")
        if scale is not None and scale.smallest == scale.largest == 1.0:
            yield found(context, numbers, "has input_scale 1.0", role="input_scale")
