"""CKF4xx: the KV cache, in metadata and tensors."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.metadata import QUANT_CFG_FILE
from ckptfix.checkpoint.roles import KV_SCALES
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Related, Severity
from ckptfix.rules.reading import place_of
from ckptfix.text import visible

FAMILY: Final = Family("CKF4", "KV cache")


@FAMILY.rule(
    "CKF401",
    "the files disagree on the KV cache",
    Severity.ERROR,
    why=(
        "A runtime goes by one of the files. nvidia/Qwen3.6-35B-A3B-NVFP4 said FP8 in "
        "hf_quant_config.json only: whoever reads config.json keeps the cache in BF16 "
        "(sgl-project/sglang issue 27906, ai-dynamo/aiconfigurator pull request 1513)."
    ),
    fix="Say the same in both files; ckptfix rewrite --from-tensors adds what one does not say.",
    since="0.1.0",
    example="""
    config.json /quantization_config
      "quant_algo": "FP8",
      "kv_cache_scheme": "FP8"
    hf_quant_config.json /quantization
    + "kv_cache_quant_algo": "FP8",
      "quant_algo": "FP8"
    """,
)
def kv_cache_differs(context: Context) -> Iterable[Finding]:
    """Two files that state different KV cache algorithms, or one that states none."""
    read = [m for m in context.checkpoint.metadata if m.file != QUANT_CFG_FILE]
    if len(read) < 2:
        return
    first, second = read[0], read[1]
    ours, theirs = first.kv_cache_quant_algo, second.kv_cache_quant_algo
    if (ours or "").upper() != (theirs or "").upper():
        there = f"says {visible(theirs or 'nothing')}"
        yield context.finding(
            subject=first.file,
            message=f"says {visible(ours or 'nothing')} for the KV cache and {second.file} {there}",
            place=first.place,
            advice="say the same in both files"
            if ours and theirs
            else "run ckptfix rewrite --from-tensors",
            related=(Related(second.place, there),),
        )


@FAMILY.rule(
    "CKF402",
    "KV cache scales are stored, no file says how the cache is quantized",
    Severity.WARNING,
    why=(
        "k_scale and v_scale were calibrated, but a runtime that is not told keeps the cache in "
        "BF16, and one that does not expect the tensors stops at them."
    ),
    fix="ckptfix rewrite --from-tensors states FP8.",
    fixed_by="rewrite --from-tensors",
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.self_attn.k_proj stored as FP8 with k_scale
      layers.0.self_attn.v_proj stored as FP8 with v_scale
    config.json /quantization_config
    + "kv_cache_scheme": "FP8",
      "quant_algo": "FP8"
    """,
)
def kv_cache_unsaid(context: Context) -> Iterable[Finding]:
    """Scales without a statement in any file."""
    checkpoint = context.checkpoint
    if not checkpoint.metadata or any(m.kv_cache_quant_algo for m in checkpoint.metadata):
        return
    holders = [
        n for n, m in checkpoint.modules.items() if not m.tensors.keys().isdisjoint(KV_SCALES)
    ]
    if holders:
        yield context.finding(
            subject=checkpoint.metadata[0].file,
            message="does not say how the KV cache is quantized, and the tensors hold k_scale and "
            "v_scale",
            place=checkpoint.metadata[0].place,
            advice="run ckptfix rewrite --from-tensors",
            modules=tuple(holders),
        )


@FAMILY.rule(
    "CKF403",
    "k_scale without v_scale, or the reverse",
    Severity.ERROR,
    why=(
        "The cache of a layer has two scales. vLLM 0.33.0 takes a lone k_scale for the values too, "
        "which are then scaled otherwise than calibrated, and stops at a lone v_scale "
        "(vllm/model_executor/layers/quantization/kv_cache.py)."
    ),
    fix="Export the checkpoint again.",
    since="0.1.0",
    example="""
    model.safetensors
      layers.0.self_attn.k_proj stored as FP8 with k_scale
      layers.0.self_attn.v_proj stored as FP8 with v_scale
      layers.1.self_attn.k_proj stored as FP8 with k_scale
    - layers.1.self_attn.v_proj stored as FP8
    + layers.1.self_attn.v_proj stored as FP8 with v_scale
    """,
)
def one_kv_scale(context: Context) -> Iterable[Finding]:
    """A lone v_scale, or a lone k_scale in a checkpoint that has v_scale elsewhere.

    Old exports keep one scale for both, as k_scale throughout.
    """
    checkpoint = context.checkpoint
    holders: dict[str, dict[str, str]] = {role: {} for role in KV_SCALES}
    for name, module in checkpoint.modules.items():
        for role, layers in holders.items():
            if role in module.tensors:
                layers[name.rpartition(".")[0] if name.endswith("_proj") else name] = name
    if not holders["v_scale"]:
        return
    for role, other in (("k_scale", "v_scale"), ("v_scale", "k_scale")):
        for layer, holder in holders[role].items():
            if layer not in holders[other]:
                yield context.finding(
                    subject=layer,
                    message=f"has {role} and no {other}",
                    place=place_of(checkpoint, holder),
                    advice="export the checkpoint again",
                    modules=(holder,),
                )
