"""CKF1xx and CKF2xx for quantizers that match names in their own way."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ckptfix.rules.context import Context
from ckptfix.rules.coverage import (
    excluded_but_quantized,
    named_nowhere,
    unquantized_not_excluded,
)
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.formats import declared_otherwise, listed_but_unquantized
from ckptfix.rules.misread import Misread, Why
from ckptfix.rules.names import checkpoint_spelling
from ckptfix.rules.patterns import ambiguous_pattern
from ckptfix.text import visible

FAMILY: Final = Family("CKF1", "names")


def _releases(group: Sequence[Misread]) -> dict[str, None]:
    return dict.fromkeys(str(each.target) for each in group)


def _groups(context: Context, *whys: Why) -> Iterator[tuple[Sequence[Misread], str]]:
    """Modules with the same cause at the same place, and the releases concerned, as text."""
    grouped: dict[tuple[object, ...], list[Misread]] = {}
    for each in context.misread:
        if each.why in whys:
            about = each.statement or each.module.members
            grouped.setdefault((each.why, about, each.metadata.file), []).append(each)
    for group in grouped.values():
        yield group, " and ".join(_releases(group))


def _name(group: Sequence[Misread]) -> str:
    """The name in the metadata that is the cause; empty if it is the file as a whole."""
    statement = group[0].statement
    return statement.name if statement else ""


def _found(
    context: Context,
    group: Sequence[Misread],
    *,
    subject: str,
    message: str,
    effect: str,
    expected: str = "",
    fixed_by: Repair | None = None,
) -> Finding:
    first = group[0]
    place = first.statement.place if first.statement else first.metadata.place
    return context.finding(
        subject=subject,
        message=message,
        place=place,
        effect=effect,
        modules=tuple(dict.fromkeys(m for each in group for m in each.module.members)),
        expected=expected,
        releases=tuple(_releases(group)),
        fixed_by=fixed_by,
    )


def _named(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - 1:,} more" if len(every) > 1 else ""
    return f"{visible(every[0])}{more}"


@checkpoint_spelling.in_own_reading
def other_spelling(context: Context) -> Iterable[Finding]:
    """Names that a release compares with its own names, which are spelled differently."""
    for group, releases in _groups(context, Why.SPELLING):
        looked_up = [each.module.name for each in group]
        yield _found(
            context,
            group,
            subject=_name(group),
            message=f"names modules as they are stored; {releases} looks up "
            f"{_named(looked_up)}, which it does not match",
            effect="adds the names that are looked up",
            expected=looked_up[0] if len(set(looked_up)) == 1 else "",
        )


@FAMILY.rule(
    "CKF110",
    "name of a parent module is mapped differently from the modules below it",
    Severity.ERROR,
    why=(
        "vLLM's mapping rules end in a dot: model.visual. becomes visual., but "
        "model.visual itself falls through to the rule for model. and becomes "
        "language_model.model.visual, which matches no module. Every layer of the vision tower "
        "that the entry was meant for is then built quantized (vLLM 0.33.0, a fine-grained FP8 "
        "export of Qwen2.5-VL)."
    ),
    fix="Write the names of the modules below it.",
    fixed_by=Repair.NAMES,
    reads_names=True,
    in_own_reading_only=True,
    since="0.2.0",
    example="""
    on vllm==0.33.0
    config.json
      "architectures": ["Qwen2_5_VLForConditionalGeneration"]
    model.safetensors
      visual.merger.mlp.0 stored as BF16
    config.json /quantization_config
      "quant_method": "fp8",
      "activation_scheme": "dynamic",
    - "modules_to_not_convert": ["model.visual"]
    + "modules_to_not_convert": ["visual.merger.mlp.0"]
    """,
)
def parent_falls_through(context: Context) -> Iterable[Finding]:
    """Names of parents that the mapper maps differently from the modules below them.

    Patterns over plain names are mapped as prefixes.
    """
    for group, releases in _groups(context, Why.PARENT):
        below = _named(each.module.name for each in group)
        yield _found(
            context,
            group,
            subject=_name(group),
            message=f"is meant for {below}, but {releases} maps it to a different prefix than "
            "the modules below it",
            effect="writes the names of the modules below it",
        )


@ambiguous_pattern.in_own_reading
def other_reach(context: Context) -> Iterable[Finding]:
    """Names that match a packed module by accident, part of a number, or part of a name."""
    for group, releases in _groups(context, Why.REACH):
        first = group[0].module
        built = _named(each.module.name for each in group)
        quantized = f"as {first.resolved}" if first.resolved != "unquantized" else "unquantized"
        yield _found(
            context,
            group,
            subject=_name(group),
            message=f"matches other modules than it appears to: {releases} builds {built} "
            f"{quantized}",
            effect="writes full names",
            fixed_by=Repair.NAMES,
        )


@FAMILY.rule(
    "CKF111",
    "members of a packed module have different schemes in the metadata",
    Severity.ERROR,
    why=(
        "A release builds q_proj, k_proj and v_proj as one qkv_proj, and stops if the metadata "
        "quantizes only some of them, or in different ways: vLLM 0.33.0 with 'Fused module ... "
        "requires consistent quant config' for AutoRound, 'Found a different quantization schemes' "
        "for compressed-tensors."
    ),
    fix="Give all members the scheme that they are stored in; if they are stored differently, "
    "quantize them the same way and export again.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
    in_own_reading_only=True,
    since="0.2.0",
    example="""
    on vllm==0.33.0
    model.safetensors
      model.layers.0.mlp.gate_proj stored as BF16
      model.layers.0.mlp.up_proj stored as BF16
    config.json /quantization_config
      "quant_method": "fp8",
      "activation_scheme": "dynamic",
    - "modules_to_not_convert": ["model.layers.0.mlp.up_proj"]
    + "modules_to_not_convert": ["layers.0.mlp.up_proj", "layers.0.mlp.gate_proj"]
    """,
)
def members_differ(context: Context) -> Iterable[Finding]:
    """Packed modules at which a release stops because their members are declared differently.

    For plain names, the verdicts of the releases report this (CKF701).
    """
    for group, releases in _groups(context, Why.MEMBERS):
        yield _found(
            context,
            group,
            subject=group[0].module.name,
            message=f"is one module in {releases}, but the metadata declares different schemes for "
            f"its members {_named(group[0].module.members)}",
            effect="declares the same scheme for all",
        )


@named_nowhere.in_own_reading
def quantized_but_not_listed(context: Context) -> Iterable[Finding]:
    """Quantized modules that no name in the metadata matches and that some release looks up."""
    for group, _ in _groups(context, Why.NOT_LISTED):
        stored = group[0].module.stored
        yield _found(
            context,
            group,
            subject=group[0].member,
            message=f"is stored as {stored}, but nothing in the metadata quantizes it",
            effect="lists it",
        )


@excluded_but_quantized.in_own_reading
def left_out_but_quantized(context: Context) -> Iterable[Finding]:
    """Names that exclude modules stored quantized."""
    for group, _ in _groups(context, Why.EXCLUDED):
        first = group[0]
        yield _found(
            context,
            group,
            subject=first.member,
            message=f"is stored as {first.module.stored}, but {visible(_name(group))} excludes it",
            effect="narrows the name",
        )


@unquantized_not_excluded.in_own_reading
def unquantized_but_not_left_out(context: Context) -> Iterable[Finding]:
    """Unquantized modules that a release builds quantized and no name excludes."""
    for group, _ in _groups(context, Why.NOT_EXCLUDED):
        module = group[0].module
        yield _found(
            context,
            group,
            subject=group[0].member,
            message=f"is stored unquantized, but no name in the metadata excludes it from "
            f"{module.resolved}",
            effect="excludes it",
        )


@listed_but_unquantized.in_own_reading
def named_but_unquantized(context: Context) -> Iterable[Finding]:
    """Names that quantize modules stored unquantized."""
    for group, _ in _groups(context, Why.LISTED):
        yield _found(
            context,
            group,
            subject=group[0].member,
            message=f"is stored unquantized, but {visible(_name(group))} quantizes it",
            effect="excludes it",
        )


@declared_otherwise.in_own_reading
def scheme_differs(context: Context) -> Iterable[Finding]:
    """Modules whose tensors refute the declared scheme."""
    for group, _ in _groups(context, Why.SCHEME):
        first = group[0]
        by = f" by {visible(_name(group))}" if first.statement else ""
        yield _found(
            context,
            group,
            subject=first.member,
            message=f"is declared as {first.module.resolved}{by} but stored as "
            f"{first.module.stored}",
            effect=f"declares {first.module.stored}",
        )
