"""CKF4xx: the KV cache, in metadata and tensors."""

from collections.abc import Iterable
from typing import Final

from ckptfix.checkpoint.roles import KV_SCALES
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Related, Repair, Severity
from ckptfix.rules.reading import place_of
from ckptfix.runtimes.registry import read_by_runtimes
from ckptfix.text import visible

FAMILY: Final = Family("CKF4", "KV cache")


@FAMILY.rule(
    "CKF401",
    "files disagree on the KV cache format",
    Severity.WARNING,
    why=(
        "The checkpoint loads either way, but a runtime uses one of the files, so that it depends "
        "on the runtime whether the cache is quantized (vLLM 0.33.0, vllm/utils/torch_utils.py "
        "`get_kv_cache_quant_algo_string`; SGLang 0.5.23, "
        "sglang/srt/layers/quantization/modelopt_quant.py `from_config`). "
        "nvidia/Qwen3.6-35B-A3B-NVFP4 declared FP8 only in hf_quant_config.json: runtimes that "
        "read config.json keep the cache in BF16 (sgl-project/sglang issue 27906, "
        "ai-dynamo/aiconfigurator pull request 1513)."
    ),
    fix="Make both files agree; `rewrite(from_tensors=True)` adds what one of them is missing.",
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
    """Two files that declare different KV cache algorithms, or only one that declares any."""
    read = read_by_runtimes(context.checkpoint.metadata)
    if len(read) < 2:
        return
    first, second = read[0], read[1]
    ours, theirs = first.kv_cache_quant_algo, second.kv_cache_quant_algo
    if (ours or "").upper() != (theirs or "").upper():
        there = f"declares {visible(theirs or 'nothing')}"
        yield context.finding(
            subject=first.file,
            message=f"declares {visible(ours or 'nothing')} for the KV cache, but {second.file} "
            f"{there}",
            place=first.place,
            advice="make both files agree" if ours and theirs else "",
            effect=None if ours and theirs else "",
            fixed_by=None if ours and theirs else Repair.CONTENT,
            related=(Related(second.place, there),),
        )


@FAMILY.rule(
    "CKF402",
    "KV cache scales are present but no file declares the KV cache format",
    Severity.WARNING,
    why=(
        "k_scale and v_scale were calibrated, but without a declared format a runtime keeps the "
        "cache in BF16, or stops because it does not expect the tensors."
    ),
    fix="`rewrite(from_tensors=True)` declares FP8.",
    fixed_by=Repair.CONTENT,
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
    """Scales of a KV cache that no file declares as quantized."""
    checkpoint = context.checkpoint
    if not checkpoint.metadata or any(m.kv_cache_quant_algo for m in checkpoint.metadata):
        return
    holders = [
        n for n, m in checkpoint.modules.items() if not m.tensors.keys().isdisjoint(KV_SCALES)
    ]
    if holders:
        yield context.finding(
            subject=checkpoint.metadata[0].file,
            message="does not declare a KV cache format, but the tensors include k_scale and "
            "v_scale",
            place=checkpoint.metadata[0].place,
            effect="",
            modules=tuple(holders),
        )


@FAMILY.rule(
    "CKF403",
    "k_scale without v_scale, or the reverse",
    Severity.ERROR,
    why=(
        "The KV cache of a layer has two scales. If there is only k_scale, vLLM 0.33.0 uses it "
        "for the values too, so they are scaled differently than calibrated. If there is only "
        "v_scale, it stops (vllm/model_executor/layers/quantization/kv_cache.py)."
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
                    message=f"has {role} but no {other}",
                    place=place_of(checkpoint, holder),
                    advice="export the checkpoint again",
                    modules=(holder,),
                )
