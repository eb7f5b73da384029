"""For which model_types SGLang has a config class of its own.

It reads config.json with it after another class has, and what it did with the result is lost.
Sources: every release from SGLang 0.5.8 to 0.5.23, `_CONFIG_REGISTRY` in
sglang/srt/utils/hf_transformers_utils.py, since 0.5.11 sglang/srt/utils/hf_transformers/common.py,
and the model_type of each class in sglang/srt/configs/.
"""

from collections.abc import Mapping
from typing import Final

_ADDED: Final[Mapping[str, tuple[str, ...]]] = {
    "0.5.8": (
        "NemotronH_Nano_VL_V2", "afmoe", "chatglm", "dbrx", "deepseek-ocr", "deepseek_vl_v2",
        "dots_ocr", "dots_vlm", "exaone", "falcon_h1", "internvl_chat", "jet_nemotron", "jet_vlm",
        "kimi_linear", "kimi_vl", "longcat_flash", "multi_modality", "nemotron_h", "olmo3",
        "qwen3_next", "step3_vl",
    ),
    "0.5.9": (
        "bailing_hybrid", "granitemoehybrid", "kimi_k25", "qwen3_5", "qwen3_5_moe", "step3p5",
    ),
    "0.5.11": ("NemotronH_Nano_Omni_Reasoning_V3",),
    "0.5.12": (
        "deepseek_v32", "deepseek_v4", "intern_s2_preview", "kimi_k2", "laguna", "minicpmv4_6",
        "minicpmv4_6_vision",
    ),
    "0.5.13": ("nemotron_h_puzzle", "step3p7"),
    "0.5.15": ("locateanything",),
    "0.5.16": (
        "gemma4_unified", "inkling_audio_model", "inkling_mm_model", "inkling_model",
        "inkling_vision_model", "mellum", "minimax_m3_vl",
    ),
    "0.5.17": ("kimi_k3", "qwen3_5_moe_text", "qwen3_5_text"),
    "0.5.18": (
        "interns2_mobius", "interns2_mobius_text", "muse_glimmer", "muse_glimmer_assistant",
    ),
    "0.5.19": ("dots3_note", "minicpm_sala", "spark2_5"),
    "0.5.20": (
        "falcon_mamba", "glm5_next", "glm5_next_text", "hy_v4", "k2_horizon", "mamba", "mamba2",
        "nanbeige", "nemotron_h_omni", "qwen4_exp", "qwen4_exp_text", "xllm",
    ),
    "0.5.21": (
        "bailing_moe_v3_vl", "bailingmm_moe_v2_lite", "gigachat3_5", "iquest_q1", "iquest_q1_mtp",
    ),
    "0.5.23": ("beam", "minicpmv4_7"),
}  # fmt: skip
"""Release -> model_types that got a class in it."""


def own_configs(since: str) -> frozenset[str]:
    """Those of a release in the table."""
    releases = list(_ADDED)
    known = releases[: releases.index(since) + 1]
    return frozenset(model_type for release in known for model_type in _ADDED[release])
