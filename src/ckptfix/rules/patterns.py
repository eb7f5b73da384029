"""CKF1xx: what a pattern matches, and in which dialect it is written."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.names import is_regex
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Repair, Severity
from ckptfix.rules.names import abbreviates, is_corrupt
from ckptfix.runtimes.common.patterns import BUILTIN_PACKED
from ckptfix.text import visible

FAMILY: Final = Family("CKF1", "names")

_WILDCARD: Final = re.compile(r"[*?\[]")
_PACKED: Final = tuple(BUILTIN_PACKED)
_EXPERT: Final = re.compile(r"(.*\.experts)\.\d+(?:\.|\Z)")


@FAMILY.rule(
    "CKF102",
    "packed module is listed but its members are not",
    Severity.WARNING,
    why=(
        "The checkpoint stores q_proj, k_proj and v_proj, but the entry names qkv_proj. A "
        "runtime that looks up the members does not find it. Step-3.5-Flash-FP8 listed qkv_proj "
        "and gate_up_proj and answered only with begin-of-sentence tokens (vllm-project/vllm "
        "issue 43981, sgl-project/sglang issue 26213)."
    ),
    fix="List the members too, with the same content.",
    reads_names=True,
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
    modules = context.checkpoint.modules

    def is_module(name: str) -> bool:
        return name in of_runtime or name in modules

    for metadata in context.checkpoint.metadata:
        packed = [s for s in metadata.statements if s.name.endswith(_PACKED)]
        # In one spelling: a packed name for the runtime may occur next to members as stored.
        stated = {of_runtime.get(s.name, s.name) for s in metadata.statements if packed}
        for statement in packed:
            parent, _, last = statement.name.rpartition(".")
            members = [f"{parent}.{part}" for part in BUILTIN_PACKED.get(last, ())]
            if not members or is_module(statement.name) or not all(map(is_module, members)):
                continue
            left = [member for member in members if of_runtime.get(member, member) not in stated]
            if left:
                yield context.finding(
                    subject=statement.name,
                    message="is stored as its members, which are not listed",
                    place=statement.place,
                    advice=f"list {', '.join(member.rpartition('.')[2] for member in left)} too",
                    modules=tuple(context.naming.read_name(statement.name).modules),
                )


@FAMILY.rule(
    "CKF103",
    "pattern uses the syntax of another quantizer",
    Severity.ERROR,
    why=(
        "compressed-tensors writes regular expressions as re:..., ModelOpt's patterns are names "
        "with shell wildcards. vLLM and SGLang read re: in ModelOpt metadata literally, so the "
        "pattern matches nothing (compare vllm-project/vllm issue 28072)."
    ),
    fix="Use names or shell wildcards; `rewrite(from_tensors=True)` does so.",
    fixed_by=Repair.CONTENT,
    reads_names=True,
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
    for metadata in context.checkpoint.metadata:
        for statement in metadata.of_kind("exclude") if not metadata.takes_regexes else ():
            if is_regex(statement.name) and statement.path[:-1] not in metadata.idle_lists:
                yield context.finding(
                    subject=statement.name,
                    message="is a regular expression, which vLLM and SGLang read literally here",
                    place=statement.place,
                    effect="",
                    modules=context.naming.read_pattern(statement.name).modules,
                )


@FAMILY.rule(
    "CKF104",
    "pattern matches more, or fewer, modules than it appears to",
    Severity.ERROR,
    why=(
        "vLLM excludes every module whose name contains a pattern without wildcards: b_proj "
        "also matches q_b_proj and kv_b_proj (vllm-project/vllm issue 51265). Readers that "
        "compare whole names never match such a fragment and build the layer in FP8 without "
        "weight_scale (issue 44628). A pattern that reaches only modules that no release looks up "
        "has no effect and is not reported."
    ),
    fix="Write the full name of each module to exclude.",
    reads_names=True,
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
    """Plain patterns that are only part of a name, or the beginning of a quantized one.

    They count if a release looks up a module that they match.
    """
    formats = context.checkpoint.formats
    names = sorted(context.checkpoint.modules)
    quantized = [name for name in names if formats[name].is_quantized]
    for metadata in context.checkpoint.metadata:
        for statement in _plain_patterns(metadata):
            if abbreviates(context, statement):
                hit = context.naming.checkpoint_names.containing(statement.name)
                message = (
                    "is a name fragment: vLLM excludes every module containing it, other "
                    "readers none"
                )
            else:
                hit = _longer(quantized, statement.name)
                message = "is also a prefix of quantized modules, which vLLM will exclude"
            if hit := list(filter(context.concerns_a_runtime, hit)):
                yield context.finding(
                    subject=statement.name,
                    message=message,
                    place=statement.place,
                    advice=f"write full names, such as {visible(hit[0])}",
                    modules=tuple(hit),
                )


def _plain_patterns(metadata: MetadataFile) -> Iterator[Statement]:
    for statement in metadata.excludes:
        plain = not _WILDCARD.search(statement.name) and not is_regex(statement.name)
        if plain and statement.name and not is_corrupt(statement.name):
            yield statement


def _longer(names: Sequence[str], beginning: str) -> list[str]:
    """Names that continue after the prefix within one dotted part."""
    found = []
    for at in range(bisect_left(names, beginning), len(names)):
        name = names[at]
        if not name.startswith(beginning):
            break
        if name != beginning and name[len(beginning)] != ".":
            found.append(name)
    return found


@FAMILY.rule(
    "CKF107",
    "experts are excluded individually instead of as a bank",
    Severity.WARNING,
    why=(
        "A runtime builds all experts of a layer as one module and looks up the bank, "
        "...mlp.experts. A list of 1,728 individual experts did not match it: [128, 512] "
        "against [128, 1024] (sgl-project/sglang issue 39317)."
    ),
    fix="Add the name of the bank, ...experts, to the list.",
    reads_names=True,
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
    """Banks of which a list has only individual experts."""
    for metadata in context.checkpoint.metadata:
        banks: dict[str, Statement] = {}
        listed = {s.name for s in metadata.excludes}
        for statement in metadata.excludes:
            found = _EXPERT.match(statement.name)
            if found and not listed & {found[1], f"{found[1]}*", f"{found[1]}.*"}:
                banks.setdefault(found[1], statement)
        for bank, statement in banks.items():
            yield context.finding(
                subject=bank,
                message="is excluded expert by expert, but runtimes look up the bank",
                place=statement.place,
                advice=f"add {visible(bank)} to {statement.key}",
            )
