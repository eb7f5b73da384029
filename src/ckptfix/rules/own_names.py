"""CKF1xx and CKF2xx for quantizers that match names in their own way."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ckptfix.checkpoint.dialects.interface import Reading
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.names import is_class_name
from ckptfix.rules.context import Context
from ckptfix.rules.coverage import (
    excluded_but_quantized,
    named_nowhere,
    unquantized_not_excluded,
)
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.formats import declared_otherwise, listed_but_unquantized
from ckptfix.rules.misread import Misread, Why, leaves_out
from ckptfix.rules.names import checkpoint_spelling, is_about_what_is_left_out, matches_nothing
from ckptfix.rules.patterns import ambiguous_pattern
from ckptfix.runtimes.asked import newest_asked
from ckptfix.text import visible

FAMILY: Final = Family("CKF1", "names")

_TWICE_ESCAPED: Final = re.compile(r"\\\\")


def _releases(alike: Sequence[Misread]) -> dict[str, None]:
    return dict.fromkeys(str(each.target) for each in alike)


def _grouped(context: Context, *whys: Why) -> Iterator[tuple[Sequence[Misread], str]]:
    """Modules with one cause in one place, for all releases, and these releases as text."""
    grouped: dict[tuple[object, ...], list[Misread]] = {}
    for each in context.misread:
        if each.why in whys:
            about = each.statement or each.module.members
            grouped.setdefault((each.why, about, each.metadata.file), []).append(each)
    for alike in grouped.values():
        yield alike, " and ".join(_releases(alike))


def _found(
    context: Context,
    alike: Sequence[Misread],
    *,
    subject: str,
    message: str,
    effect: str,
    expected: str = "",
    fixed_by: Repair | None = None,
) -> Finding:
    first = alike[0]
    place = first.statement.place if first.statement else first.metadata.place
    return context.finding(
        subject=subject,
        message=message,
        place=place,
        effect=effect,
        modules=tuple(dict.fromkeys(m for each in alike for m in each.module.members)),
        expected=expected,
        releases=tuple(_releases(alike)),
        fixed_by=fixed_by,
    )


def _named(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - 1:,} more" if len(every) > 1 else ""
    return f"{visible(every[0])}{more}"


@checkpoint_spelling.in_own_reading
def other_spelling(context: Context) -> Iterable[Finding]:
    """Names that a release compares with its own names, which are spelled differently."""
    for alike, releases in _grouped(context, Why.SPELLING):
        statement = alike[0].statement
        looked_up = [each.module.name for each in alike]
        yield _found(
            context,
            alike,
            subject=statement.name if statement else "",
            message=f"names modules as they are stored; {releases} looks up "
            f"{_named(looked_up)}, which it does not match",
            effect="adds the names that are looked up",
            expected=looked_up[0] if len(set(looked_up)) == 1 else "",
        )


@FAMILY.rule(
    "CKF110",
    "name of a parent module is mapped otherwise than the modules below it",
    Severity.ERROR,
    why=(
        "The rules by which vLLM maps names end in a dot: model.visual. becomes visual., but "
        "model.visual itself falls through to the rule for model. and becomes "
        "language_model.model.visual, which nothing is called. Every layer of the vision tower "
        "that the entry was meant for is then built quantized (vLLM 0.33.0, a fine-grained FP8 "
        "export of Qwen2.5-VL)."
    ),
    fix="Write the names of the modules below it.",
    fixed_by=Repair.NAMES,
    reads_names=True,
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
    """Never reported for plain names, whose patterns are mapped as prefixes."""
    del context
    return ()


@parent_falls_through.in_own_reading
def parent_falls_through_in_own_reading(context: Context) -> Iterable[Finding]:
    """Names of parents that the mapper maps differently from the modules below them."""
    for alike, releases in _grouped(context, Why.PARENT):
        statement, below = alike[0].statement, _named(each.module.name for each in alike)
        yield _found(
            context,
            alike,
            subject=statement.name if statement else "",
            message=f"is meant for {below}, but {releases} maps it to another name "
            "than what is below it",
            effect="writes the names below it",
        )


@ambiguous_pattern.in_own_reading
def other_reach(context: Context) -> Iterable[Finding]:
    """Names that match a packed module by accident, part of a number, or part of a name."""
    for alike, releases in _grouped(context, Why.REACH):
        statement, first = alike[0].statement, alike[0].module
        met = _named(each.module.name for each in alike)
        quantized = f"as {first.resolved}" if first.resolved != "unquantized" else "unquantized"
        yield _found(
            context,
            alike,
            subject=statement.name if statement else "",
            message=f"has another reach than it appears to: {releases} builds {met} {quantized}",
            effect="writes full names",
            fixed_by=Repair.NAMES,
        )


@FAMILY.rule(
    "CKF111",
    "metadata give the members of a packed module different schemes",
    Severity.ERROR,
    why=(
        "A release builds q_proj, k_proj and v_proj as one qkv_proj and stops where the metadata "
        "quantize some of them, or not alike: vLLM 0.33.0 with 'Fused module ... requires "
        "consistent quant config' for AutoRound, 'Found a different quantization schemes' for "
        "compressed-tensors."
    ),
    fix="Give all members the scheme that they are stored in; if they are stored differently, "
    "quantize them alike and export again.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
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
    """For plain names, the verdicts of the releases report this (CKF701)."""
    del context
    return ()


@members_differ.in_own_reading
def members_differ_in_own_reading(context: Context) -> Iterable[Finding]:
    """Packed modules at which a release stops because their members are declared differently."""
    for alike, releases in _grouped(context, Why.MEMBERS):
        yield _found(
            context,
            alike,
            subject=alike[0].module.name,
            message=f"is one module in {releases}, but the metadata give its members "
            f"{_named(alike[0].module.members)} different schemes",
            effect="gives them one",
        )


@named_nowhere.in_own_reading
def quantized_but_not_listed(context: Context) -> Iterable[Finding]:
    """Quantized modules that no name in the metadata matches and that some release looks up."""
    for alike, _ in _grouped(context, Why.NOT_LISTED):
        stored = alike[0].module.stored
        yield _found(
            context,
            alike,
            subject=alike[0].member,
            message=f"is stored as {stored}, but nothing in the metadata quantizes it",
            effect="lists it",
        )


@excluded_but_quantized.in_own_reading
def left_out_but_quantized(context: Context) -> Iterable[Finding]:
    """Names that exclude modules stored quantized."""
    for alike, _ in _grouped(context, Why.EXCLUDED):
        first = alike[0]
        name = first.statement.name if first.statement else ""
        yield _found(
            context,
            alike,
            subject=first.member,
            message=f"is stored as {first.module.stored}, but {visible(name)} leaves it "
            "unquantized",
            effect="narrows it",
        )


@unquantized_not_excluded.in_own_reading
def unquantized_but_not_left_out(context: Context) -> Iterable[Finding]:
    """Unquantized modules that a release builds quantized and no name excludes."""
    for alike, _ in _grouped(context, Why.NOT_EXCLUDED):
        module = alike[0].module
        yield _found(
            context,
            alike,
            subject=alike[0].member,
            message=f"is stored unquantized, but no name in the metadata leaves it out of "
            f"{module.resolved}",
            effect="leaves it out",
        )


@listed_but_unquantized.in_own_reading
def named_but_unquantized(context: Context) -> Iterable[Finding]:
    """Names that quantize modules stored unquantized."""
    for alike, _ in _grouped(context, Why.LISTED):
        first = alike[0]
        name = first.statement.name if first.statement else ""
        yield _found(
            context,
            alike,
            subject=first.member,
            message=f"is stored unquantized, but {visible(name)} quantizes it",
            effect="leaves it out",
        )


@declared_otherwise.in_own_reading
def scheme_differs(context: Context) -> Iterable[Finding]:
    """Modules whose tensors refute the scheme that the metadata declare."""
    for alike, _ in _grouped(context, Why.SCHEME):
        first = alike[0]
        by = f" by {visible(first.statement.name)}" if first.statement else ""
        yield _found(
            context,
            alike,
            subject=first.member,
            message=f"is declared as {first.module.resolved}{by} but stored as "
            f"{first.module.stored}",
            effect=f"declares {first.module.stored}",
        )


@matches_nothing.in_own_reading
def meets_nothing(context: Context) -> Iterable[Finding]:
    """Names that match no module in any spelling that some release maps to its own."""
    reading = context.checkpoint.dialect.reading
    if reading is None:
        return
    for metadata in context.checkpoint.metadata:
        for key, statements in _by_key(metadata).items():
            idle = [s for s in statements if not _stands_for_some(context, reading, s)]
            if key in reading.alternatives and len(idle) < len(statements):
                continue
            for statement in idle:
                if (advice := _advice(context, reading, statement)) is not None:
                    yield context.finding(
                        subject=statement.name,
                        message="matches no module of the checkpoint",
                        place=statement.place,
                        advice=advice,
                        depends_on_experts=EXPERTS in advice,
                    )


def _by_key(metadata: MetadataFile) -> Mapping[str, list[Statement]]:
    found: dict[str, list[Statement]] = {}
    for statement in metadata.statements:
        if not (statement.kind == "target" and is_class_name(statement.name)):
            found.setdefault(statement.key if statement.path else "", []).append(statement)
    return found


def _stands_for_some(context: Context, reading: Reading, statement: Statement) -> bool:
    checkpoint = context.checkpoint
    if statement.name in checkpoint.modules:
        return True
    if any(reading.meets(statement, name) for name in checkpoint.modules):
        return True
    for asked in newest_asked(checkpoint):
        held = statement
        if not reading.is_expression(statement):
            if asked.meant_by(statement.name):
                return True
            held = replace(statement, name=asked.names.map(statement.name) or statement.name)
        if any(reading.meets(held, name) for name in asked.every_name):
            return True
    return False


def _advice(context: Context, reading: Reading, statement: Statement) -> str | None:
    """Advice on a name that matches nothing; None if that may be intended.

    Lists for a whole family of models hold patterns and parts of names that one model lacks. A
    full name, or an expression that was to quantize something, was written for this one.
    """
    if reading.is_expression(statement):
        once = replace(statement, name=_TWICE_ESCAPED.sub(r"\\", statement.name))
        if once.name != statement.name and _stands_for_some(context, reading, once):
            formats = context.checkpoint.formats
            meant = (stored for name, stored in formats.items() if reading.meets(once, name))
            if leaves_out(once) and any(stored.is_quantized for stored in meant):
                return "remove it: it is escaped twice, and what it was to leave out is quantized"
            return f"it is escaped twice: write {visible(once.name)}"
        return "correct it, or remove it" if not leaves_out(statement) else None
    if "." not in statement.name or is_about_what_is_left_out(context.checkpoint, statement.name):
        return None
    nearest = context.naming.nearest(statement.name)
    return f"the nearest existing name is {visible(nearest)}" if nearest else "remove it"
