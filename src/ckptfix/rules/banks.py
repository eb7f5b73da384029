"""CKF2xx: modules that a runtime fuses must be stored in the same format."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Related, Severity
from ckptfix.rules.reading import place_of
from ckptfix.runtimes.common.patterns import BUILTIN_PACKED

FAMILY: Final = Family("CKF2", "coverage")

_EXPERT: Final = re.compile(r"(.*\.experts)\.(\d+)\.(.+)")


@FAMILY.rule(
    "CKF203",
    "members of a packed module are stored in different formats",
    Severity.ERROR,
    why=(
        "Runtimes load q_proj, k_proj and v_proj into one qkv_proj, gate_proj and up_proj into "
        "one gate_up_proj, and each of those has one quantization method. vLLM 0.33.0 stops with "
        "'Detected some but not all shards ... are quantized'; SGLang drops the tensors that do "
        "not fit (sgl-project/sglang issue 35797)."
    ),
    fix="Quantize the members the same way and export again.",
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.mlp.gate_proj stored as FP8
    - layers.0.mlp.up_proj stored as BF16
    + layers.0.mlp.up_proj stored as FP8
    """,
)
def packed_members_differ(context: Context) -> Iterable[Finding]:
    """q, k, v or gate, up of one layer in incompatible formats."""
    checkpoint = context.checkpoint
    for name in checkpoint.modules:
        parent, dot, last = name.rpartition(".")
        for packed, members in BUILTIN_PACKED.items():
            if last != members[0]:
                continue
            present = [m for part in members if (m := f"{parent}{dot}{part}") in checkpoint.modules]
            if len(present) > 1 and _differ(checkpoint, present):
                labels = (
                    f"{m.rpartition('.')[2]} {checkpoint.formats[m].label()}" for m in present
                )
                yield context.finding(
                    subject=f"{parent}{dot}{packed}",
                    message=f"is stored as {', '.join(labels)}",
                    place=place_of(checkpoint, present[0]),
                    advice="quantize them the same way and export again",
                    modules=tuple(present),
                    related=tuple(
                        Related(place_of(checkpoint, m), checkpoint.formats[m].label())
                        for m in present[1:]
                    ),
                )


def _differ(checkpoint: Checkpoint, names: Iterable[str]) -> bool:
    kinds = [
        {fit.quant_algo for fit in checkpoint.formats[name].fits} or {"unquantized"}
        for name in names
        if not checkpoint.formats[name].problem and checkpoint.modules[name].weight is not None
    ]
    return bool(kinds) and not set.intersection(*kinds)


@FAMILY.rule(
    "CKF208",
    "expert bank is incomplete",
    Severity.ERROR,
    why=(
        "All experts of a bank are loaded into one parameter. If calibration never reached an "
        "expert, it has no input_scale, and its entry becomes 1/0 = inf: answers are empty or "
        "depend on the prompt (vllm-project/vllm issue 45212). A missing expert leaves its part "
        "of the parameter uninitialised."
    ),
    fix="Calibrate with data that reaches every expert, then export again.",
    since="0.1.0",
    blocks_loading=True,
    example="""
    model.safetensors
      layers.0.mlp.experts.0.up_proj stored as NVFP4
    - layers.0.mlp.experts.1.up_proj stored as NVFP4 without input_scale
    + layers.0.mlp.experts.1.up_proj stored as NVFP4
      layers.0.mlp.experts.2.up_proj stored as NVFP4
    """,
)
def incomplete_bank(context: Context) -> Iterable[Finding]:
    """Experts with missing parts, or stored differently from most experts of their bank."""
    checkpoint = context.checkpoint
    for bank, experts in _banks(checkpoint).items():
        missing = sorted(set(range(max(experts) + 1)) - set(experts))
        if missing:
            first = next(iter(experts[min(experts)].values()))
            yield context.finding(
                subject=f"{bank}.{missing[0]}",
                message=f"is missing; the bank has experts up to {max(experts)}",
                place=place_of(checkpoint, first),
                advice=context.export_again(),
            )
        yield from _unlike(context, bank, experts)


def _banks(checkpoint: Checkpoint) -> dict[str, dict[int, dict[str, str]]]:
    """Bank -> expert -> last part of a module's name -> module."""
    banks: dict[str, dict[int, dict[str, str]]] = {}
    for name in checkpoint.modules:
        if found := _EXPERT.fullmatch(name):
            banks.setdefault(found[1], {}).setdefault(int(found[2]), {})[found[3]] = name
    return banks


def _unlike(
    context: Context, bank: str, experts: Mapping[int, Mapping[str, str]]
) -> Iterator[Finding]:
    checkpoint = context.checkpoint
    stored = {
        (expert, part): frozenset(checkpoint.modules[module].tensors)
        for expert, parts in experts.items()
        for part, module in parts.items()
    }
    usual: dict[str, frozenset[str]] = {}
    for part in dict.fromkeys(part for _, part in stored):
        counted = Counter(roles for (_, p), roles in stored.items() if p == part)
        if counted.total() * 2 > len(experts):
            usual[part] = counted.most_common(1)[0][0]
    for expert, parts in experts.items():
        for part, roles in usual.items():
            module = f"{bank}.{expert}.{part}"
            lacking = sorted(roles - stored.get((expert, part), frozenset()))
            if not lacking or (part in parts and checkpoint.formats[module].problem):
                continue  # CKF301 reports tensors that fit no format
            beside = next(iter(parts.values()))
            what = ", ".join(lacking) if part in parts else "all of its tensors"
            yield context.finding(
                subject=module,
                message=f"is missing {what}, which the other experts of its bank have",
                place=place_of(checkpoint, module if part in parts else beside),
                advice="calibrate with data that reaches every expert, then export again",
                modules=(module,) if part in parts else (),
            )
