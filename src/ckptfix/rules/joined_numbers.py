"""CKF80x, CKF81x: values of modules that a runtime fuses, and results of their GEMMs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.numbers import JoinedNumbers, ModuleNumbers
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.numbers import EXPORT_AGAIN, found
from ckptfix.rules.reading import place_of

FAMILY: Final = Family("CKF8", "numbers")

_SHARED: Final = ("weight_scale_2", "input_scale", "pre_quant_scale")
_MOST_REQUANTIZED: Final = 0.05
"""Relative error of a weight; FP8 itself has 0.027."""
_MOST_PEERS: Final = 0.75
"""Share of the modules that must have the same input_scale before others are outliers."""


@FAMILY.rule(
    "CKF805",
    "fused modules differ in a scale of which the runtime keeps only one",
    Severity.ERROR,
    why=(
        "A fused module such as qkv_proj has one weight_scale_2, one input_scale and one "
        "pre_quant_scale. vLLM 0.33.0 keeps the largest weight_scale_2 (for gate and up of an "
        "expert, the first), warns about reduced accuracy, and applies it to the codes of the "
        "other members too. ModelOpt exports identical scales, except that 0.27.0 does not for "
        "every expert. The experts of a bank share input_scale for the same reason."
    ),
    fix="Export again, so that ModelOpt unifies the scales of modules that share an input.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
      layers.0.self_attn.q_proj.weight_scale_2 = 0.000153
    - layers.0.self_attn.k_proj.weight_scale_2 = 0.000091
    + layers.0.self_attn.k_proj.weight_scale_2 = 0.000153
    """,
)
def unlike_members(context: Context) -> Iterable[Finding]:
    """Packed members, and experts of a bank, that differ from the others."""
    modules = context.numbers.modules
    for joined in context.numbers.joined:
        members = [modules[name] for name in joined.members if name in modules]
        for role in _SHARED:
            yield from _unlike(context, joined.name, members, role)
    for bank, names in context.numbers.banks.items():
        by_part: dict[str, list[ModuleNumbers]] = {}
        for name in names:
            if name in modules:
                by_part.setdefault(name.rpartition(".")[2].partition("[")[0], []).append(
                    modules[name]
                )
        for members in by_part.values():
            if _common(members, "input_scale")[1] * 2 > len(members):
                yield from _unlike(context, bank, members, "input_scale")


def _common(members: Sequence[ModuleNumbers], role: str) -> tuple[str, int]:
    """The most frequent value and its count."""
    digests = Counter(m.scales[role].digest for m in members if role in m.scales)
    return digests.most_common(1)[0] if digests else ("", 0)


def _unlike(
    context: Context, name: str, members: Sequence[ModuleNumbers], role: str
) -> Iterator[Finding]:
    having = [member for member in members if role in member.scales]
    usual, number = _common(having, role)
    if number == len(having):
        return
    # Without a majority it is unknown which is correct, so all are reported.
    odd = [m for m in having if m.scales[role].digest != usual or number * 2 <= len(having)]
    for member in odd:
        message = f"has a different {role} from the other members of {name}"
        yield found(context, member, message, role=role)


@FAMILY.rule(
    "CKF807",
    "input_scale is an outlier",
    Severity.ERROR,
    why=(
        "SmoothQuant scales the largest input of every layer to 1, so every input_scale is "
        "1/127 (nvidia-modelopt 0.47.0, INT8_SMOOTHQUANT_CFG). A layer that differs clips its "
        "input or uses only part of its range."
    ),
    fix="Export the module again.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
      layers.0.mlp.up_proj.input_scale = 0.00787
    - layers.1.mlp.up_proj.input_scale = 0.0312
    + layers.1.mlp.up_proj.input_scale = 0.00787
    """,
)
def lone_input_scale(context: Context) -> Iterable[Finding]:
    """INT8 modules whose input_scale differs from that of nearly all others."""
    modules = [
        numbers
        for numbers in context.numbers.modules.values()
        if "input_scale" in numbers.scales
        and (row := format_named(numbers.quant_algo)) is not None
        and row.smoothing == "smoothquant"
    ]
    usual, number = _common(modules, "input_scale")
    if len(modules) < 4 or number < _MOST_PEERS * len(modules):
        return
    for numbers in modules:
        scale = numbers.scales["input_scale"]
        if scale.digest != usual:
            message = (
                f"has input_scale {scale.largest:.3e}, while {number:,} other modules share a "
                "different one"
            )
            yield found(context, numbers, message, role="input_scale")


def _of_joined(context: Context, joined: JoinedNumbers, message: str) -> Finding:
    first = context.numbers.modules[joined.members[0]]
    modules = tuple(dict.fromkeys(name.partition("[")[0] for name in joined.members))
    place = place_of(context.checkpoint, first.module)
    return context.finding(
        subject=joined.name, message=message, place=place, advice=EXPORT_AGAIN, modules=modules
    )


@FAMILY.rule(
    "CKF810",
    "fusing the members loses accuracy",
    Severity.WARNING,
    why=(
        "FP8 members with different scales are requantized to the largest one (vLLM 0.33.0, "
        "requantize_with_max_scale). If the scales are far apart, the smaller weights end up "
        "among the subnormal codes of FP8."
    ),
    fix="Export again with one scale for all members, or quantize per channel.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
      layers.0.self_attn.q_proj.weight_scale = 0.0214
    - layers.0.self_attn.k_proj.weight_scale = 0.000031
    + layers.0.self_attn.k_proj.weight_scale = 0.0214
    """,
)
def costly_join(context: Context) -> Iterable[Finding]:
    """Packed modules whose weights lose more than FP8 costs."""
    for joined in context.numbers.joined:
        error = joined.requantized_error
        if error is not None and not error <= _MOST_REQUANTIZED:
            message = f"loses {error:.1%} of its weight when its members share one scale"
            yield _of_joined(context, joined, message)


@FAMILY.rule(
    "CKF811",
    "quantized GEMM disagrees with the reference",
    Severity.ERROR,
    why=(
        "The layer was run on random input and compared with an F32 reference of the same "
        "weights and the same quantized input. The difference is larger than rounding can "
        "explain."
    ),
    fix=(
        "Check the scales of the members first: a runtime keeps only one. If they are "
        "identical, the kernel is wrong: try another `backend`."
    ),
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
      layers.0.mlp.gate_proj.weight_scale_2 = 0.000153
    - layers.0.mlp.up_proj.weight_scale_2 = 0.000612
    + layers.0.mlp.up_proj.weight_scale_2 = 0.000153
    """,
)
def wrong_gemm(context: Context) -> Iterable[Finding]:
    """Layers whose GEMM failed."""
    for joined in context.numbers.joined:
        if joined.problem:
            yield _of_joined(context, joined, joined.problem)


@FAMILY.rule(
    "CKF812",
    "weight is not the quantized form of its source",
    Severity.ERROR,
    why=(
        "The dequantized weight was compared with the unquantized one given as `source`. Each "
        "format has its rounding error. A larger error, or a common factor, means wrong codes or "
        "wrong scales. Only this comparison detects a scale that is wrong by the same factor for "
        "the whole tensor."
    ),
    fix="Export the module again from the source it was compared with.",
    since="0.1.0",
    needs="weights",
    example="""
    model.safetensors
    - layers.0.mlp.up_proj.weight_scale = 0.00342
    + layers.0.mlp.up_proj.weight_scale = 0.00171
    """,
)
def unlike_source(context: Context) -> Iterable[Finding]:
    """Weights outside the error band of their format."""
    for numbers in context.numbers.modules.values():
        source, row = numbers.source, format_named(numbers.quant_algo)
        if source is None or row is None:
            continue
        error, deviation = row.codes.error, row.codes.factor_error
        if not (source.error <= error and abs(source.factor - 1) <= deviation):
            message = (
                f"differs from its source by {source.error:.1%} with a factor of "
                f"{source.factor:.1%}; {numbers.quant_algo} explains only {error:.1%}"
            )
            yield found(context, numbers, message, role="weight_scale")
