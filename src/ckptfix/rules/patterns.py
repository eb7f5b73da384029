"""CKF1xx: how far a pattern reaches, and in which dialect it is written."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ckptfix.checkpoint.metadata import MetadataFile, Statement
from ckptfix.names import is_regex
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.names import abbreviates, is_corrupt, statements
from ckptfix.runtimes.lookup.patterns import BUILTIN_PACKED
from ckptfix.text import visible

FAMILY: Final = Family("CKF1", "names")

_WILDCARD: Final = re.compile(r"[*?\[]")
_EXPERT: Final = re.compile(r"(.*\.experts)\.\d+(?:\.|\Z)")


@FAMILY.rule(
    "CKF102",
    "packed module is named, its members are not",
    Severity.WARNING,
    why=(
        "The tensors store q_proj, k_proj and v_proj, the statement names qkv_proj. A runtime that "
        "looks the members up first misses it: Step-3.5-Flash-FP8 listed qkv_proj and gate_up_proj "
        "and answered begin-of-sentence tokens only (vllm-project/vllm issue 43981, "
        "sgl-project/sglang issue 26213)."
    ),
    fix="Name the members too, with the same content.",
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.self_attn.q_proj stored as BF16
      layers.0.self_attn.k_proj stored as BF16
      layers.0.self_attn.v_proj stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
      "ignore": [
    +   "layers.0.self_attn.q_proj",
    +   "layers.0.self_attn.k_proj",
    +   "layers.0.self_attn.v_proj",
        "layers.0.self_attn.qkv_proj"
      ]
    """,
)
def packed_without_members(context: Context) -> Iterable[Finding]:
    """Statements for a packed module whose members the same list does not name."""
    of_runtime = context.naming.runtime_names.module_of
    names = of_runtime.keys() | context.checkpoint.modules.keys()
    for metadata in context.checkpoint.metadata:
        # In one spelling: a packed name for the runtime may stand beside members as stored.
        stated = {of_runtime.get(s.name, s.name) for s in metadata.statements}
        for statement in metadata.statements:
            parent, _, last = statement.name.rpartition(".")
            members = [f"{parent}.{part}" for part in BUILTIN_PACKED.get(last, ())]
            if not members or statement.name in names or not set(members) <= names:
                continue
            left = [member for member in members if of_runtime.get(member, member) not in stated]
            if left:
                yield context.finding(
                    subject=statement.name,
                    message="is stored as its members, which are not named beside it",
                    place=statement.place,
                    advice=f"name {', '.join(member.rpartition('.')[2] for member in left)} too",
                    modules=tuple(context.naming.read_name(statement.name).modules),
                )


@FAMILY.rule(
    "CKF103",
    "pattern is in the dialect of another quantizer",
    Severity.ERROR,
    why=(
        "compressed-tensors writes regular expressions as re:..., ModelOpt's patterns are names "
        "with shell wildcards. The readers of ModelOpt metadata in vLLM and SGLang take re: "
        "literally, so the pattern matches nothing (compare vllm-project/vllm issue 28072)."
    ),
    fix="Write the names or shell wildcards; ckptfix rewrite --from-tensors does so.",
    fixed_by="rewrite --from-tensors",
    since="0.1.0",
    example="""
    model.safetensors
      lm_head stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
    - "ignore": ["re:.*lm_head"]
    + "ignore": ["lm_head"]
    """,
)
def foreign_dialect(context: Context) -> Iterable[Finding]:
    """Exclude patterns that start with `re:`."""
    for statement in statements(context):
        if statement.kind == "exclude" and is_regex(statement.name):
            yield context.finding(
                subject=statement.name,
                message="is a regular expression, which vLLM and SGLang take literally here",
                place=statement.place,
                advice="run ckptfix rewrite --from-tensors",
                modules=context.naming.read_pattern(statement.name).modules,
            )


@FAMILY.rule(
    "CKF104",
    "pattern reaches further, or less far, than it reads",
    Severity.ERROR,
    why=(
        "vLLM excludes every module whose name contains a plain pattern: b_proj is part of "
        "q_b_proj and kv_b_proj (vllm-project/vllm issue 51265). Readers that compare whole names "
        "never find such an abbreviation, and build the layer in FP8 without weight_scale "
        "(issue 44628)."
    ),
    fix="Write the whole name of each module that is meant.",
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.self_attn.b_proj stored as BF16
      layers.0.self_attn.q_b_proj stored as FP8
    config.json /quantization_config
      "quant_algo": "FP8",
    - "ignore": ["b_proj"]
    + "ignore": ["layers.0.self_attn.b_proj"]
    """,
)
def ambiguous_pattern(context: Context) -> Iterable[Finding]:
    """Plain patterns that are only part of a name, or the beginning of a quantized one."""
    formats = context.checkpoint.formats
    names = sorted(context.checkpoint.modules)
    quantized = [name for name in names if formats[name].is_quantized]
    for metadata in context.checkpoint.metadata:
        for statement in _plain_patterns(metadata):
            if abbreviates(context, statement):
                hit = context.naming.checkpoint_names.containing(statement.name)
                message = "is only part of a name: vLLM excludes all that contain it, others none"
            else:
                hit = _longer(quantized, statement.name)
                message = "is the beginning of quantized modules too, and vLLM excludes these"
            if hit:
                yield context.finding(
                    subject=statement.name,
                    message=message,
                    place=statement.place,
                    advice=f"write whole names, such as {visible(hit[0])}",
                    modules=tuple(hit),
                )


def _plain_patterns(metadata: MetadataFile) -> Iterator[Statement]:
    for statement in metadata.of_kind("exclude"):
        plain = not _WILDCARD.search(statement.name) and not is_regex(statement.name)
        if plain and statement.name and not is_corrupt(statement.name):
            yield statement


def _longer(names: Sequence[str], beginning: str) -> list[str]:
    """Names that go on behind the beginning within the same dotted part."""
    found = []
    for name in names[bisect_left(names, beginning) :]:
        if not name.startswith(beginning):
            break
        if name != beginning and name[len(beginning)] != ".":
            found.append(name)
    return found


@FAMILY.rule(
    "CKF107",
    "experts are excluded one by one, the bank is not",
    Severity.WARNING,
    why=(
        "A runtime builds all experts of a layer as one module and asks for the bank, "
        "...mlp.experts. A list of 1,728 single experts missed it: [128, 512] against [128, 1024] "
        "(sgl-project/sglang issue 39317)."
    ),
    fix="Add the name of the bank, ...experts, to the list.",
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.mlp.experts.0.up_proj stored as BF16
      layers.0.mlp.experts.1.up_proj stored as BF16
    config.json /quantization_config
      "quant_algo": "FP8",
      "ignore": [
    +   "layers.0.mlp.experts",
        "layers.0.mlp.experts.0.up_proj",
        "layers.0.mlp.experts.1.up_proj"
      ]
    """,
)
def experts_one_by_one(context: Context) -> Iterable[Finding]:
    """Banks of which a list names single experts only."""
    for metadata in context.checkpoint.metadata:
        banks: dict[str, Statement] = {}
        listed = {s.name for s in metadata.of_kind("exclude")}
        for statement in metadata.of_kind("exclude"):
            found = _EXPERT.match(statement.name)
            if found and not listed & {found[1], f"{found[1]}*", f"{found[1]}.*"}:
                banks.setdefault(found[1], statement)
        for bank, statement in banks.items():
            yield context.finding(
                subject=bank,
                message="is excluded expert by expert, runtimes ask for the bank",
                place=statement.place,
                advice=f"add {visible(bank)} to {statement.key}",
            )
