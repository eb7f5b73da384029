"""CKF813: a global scale stored in the convention that divides by it."""

from collections.abc import Iterable, Iterator
from typing import Final

from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.numbers import ModuleNumbers
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.reading import place_of

FAMILY: Final = Family("CKF8", "numbers")

_TOO_LARGE: Final = 1000.0
"""No weight of a model is this large; those of real exports are below 10."""
_PLAUSIBLE_WEIGHTS: Final = (1e-3, 100.0)
_LARGEST_INPUT: Final = 65504.0
"""The largest F16 value: no model is calibrated with larger inputs."""
_SMALLEST_INPUT: Final = 1e-2


@FAMILY.rule(
    "CKF813",
    "global scale is stored as its reciprocal",
    Severity.ERROR,
    why=(
        "ModelOpt stores the factor that a value is multiplied by. llm-compressor stores its "
        "reciprocal (weight_global_scale = 448 * 6 / amax), and a conversion that renames the "
        "tensors without inverting the values yields weights in the millions: vLLM and SGLang load "
        "them, and the server answers garbage (1CatAI/1Cat-vLLM issue 649)."
    ),
    fix="Let the converter store 1 / x as float32.",
    since="0.2.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.up_proj.weight_scale_2 = 6553.6
    + layers.0.mlp.up_proj.weight_scale_2 = 0.000153
    """,
)
def reciprocal(context: Context) -> Iterable[Finding]:
    """Global scales that give absurd values, but plausible ones when inverted."""
    for numbers in context.numbers.modules.values():
        for role in reciprocal_roles(numbers):
            scale = numbers.scales[role].largest
            message = (
                f"has {role} {scale:.4g}, the reciprocal of a plausible scale ({1 / scale:.4g})"
            )
            yield context.finding(
                subject=numbers.name,
                message=message,
                place=place_of(context.checkpoint, numbers.module, role),
                advice=f"store 1 / {role}",
                modules=(numbers.module,),
            )


def reciprocal_roles(numbers: ModuleNumbers) -> Iterator[str]:
    """The companions of a module that are stored as reciprocals."""
    row = format_named(numbers.quant_algo)
    if row is None:
        return
    shared = row.scales.shared
    if shared in numbers.scales and numbers.weight is not None:
        scale, largest = numbers.scales[shared].largest, numbers.weight.largest
        low, high = _PLAUSIBLE_WEIGHTS
        if largest > _TOO_LARGE and scale > 1 and low < largest / scale**2 < high:
            yield shared
    inputs = numbers.scales.get("input_scale")
    if inputs is not None and row.inputs.static and inputs.count == 1 and inputs.largest > 1:
        largest = inputs.largest * row.inputs.range
        if largest > _LARGEST_INPUT and row.inputs.range / inputs.largest > _SMALLEST_INPUT:
            yield "input_scale"
