"""Values that a config must have, and that nothing else tells."""

import copy
from collections.abc import Iterator, Mapping
from typing import Final

from place_learner import drafts
from place_learner.variants import Config, with_values

_MROPE: Final[Config] = {"rope_type": "default", "mrope_section": [24, 20, 20]}
_NEEDED: Final[Mapping[str, Config]] = {
    "AliceAIForCausalLM": {"kda_allow_negative_eigenvalues": False},
    "KimiLinearForCausalLM": {
        "mla_use_nope": True,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    },
    "KimiK3ForConditionalGeneration": {"mla_use_nope": True},
    "LongcatFlashForCausalLM": {"rope_scaling": {"rope_type": "default"}},
    "KimiVLForConditionalGeneration": {"n_group": 1, "topk_group": 1},
    "Glm5NextForConditionalGeneration": {"index_kpool_always_select_tail": True},
    "Glm5NextForCausalLM": {"index_kpool_always_select_tail": True},
    "Step3p5ForCausalLM": {"use_moe_router_bias": True},
    "Step3p7ForConditionalGeneration": {"vision_config.use_rope2d": True},
    "Qwen3VLForConditionalGeneration": {"rope_scaling": _MROPE},
    "Qwen3VLMoeForConditionalGeneration": {"rope_scaling": _MROPE},
    "Gemma2ForCausalLM": {
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
    },
}
"""Values without which a class refuses, and which no error message names. `part.key` is of that
part, `key` of the whole and of its language model."""
_PUBLISHED: Final[Mapping[str, Config]] = {
    "Glm4vForConditionalGeneration": {"text_config.attention_bias": True},
    "HunYuanDenseV1ForCausalLM": {"use_qk_norm": True},
    "HunYuanMoEV1ForCausalLM": {
        "attention_head_dim": 128,
        "head_dim": 128,
        "use_qk_norm": True,
        "num_experts": 8,
        "num_shared_expert": 1,
        "use_mixed_mlp_moe": True,
        "moe_intermediate_size": 3072,
    },
    "InternVLForConditionalGeneration": {
        "tie_word_embeddings": False,
        "vision_config.attention_bias": True,
    },
    "JambaForCausalLM": {"attn_layer_period": 4, "attn_layer_offset": 0},
    "KimiVLForConditionalGeneration": {
        "text_config.first_k_dense_replace": 1,
        "text_config.moe_intermediate_size": 1408,
        "text_config.n_routed_experts": 8,
        "text_config.n_shared_experts": 2,
        "text_config.q_lora_rank": None,
        "text_config.topk_method": "noaux_tc",
    },
    "Qwen2_5OmniModel": {"thinker_config.text_config.tie_word_embeddings": False},
}
"""Path of a key -> its value in published checkpoints, where the config class has another default:
the class is known with such a value, and not without the key."""


def hinted(architecture: str, config: Config) -> Config:
    """A copy with the hints for this architecture, and without remote code."""
    config = copy.deepcopy(config)
    config.pop("auto_map", None)
    if drafts.is_draft(architecture):
        for part in (config, config.get("text_config")):
            if isinstance(part, dict) and not part.get("num_nextn_predict_layers"):
                part["num_nextn_predict_layers"] = 1  # its target may have none
    for key, value in _NEEDED.get(architecture, {}).items():
        part, _, last = key.rpartition(".")
        holders = [config.get(part)] if part else [config, *_languages(config)]
        for values in filter(None, holders):
            values[last] = value
    found = _PUBLISHED.get(architecture, {})
    return with_values(config, {tuple(path.split(".")): value for path, value in found.items()})


def published(architecture: str) -> list[str]:
    """Paths of the keys whose values are those of published checkpoints."""
    return sorted(_PUBLISHED.get(architecture, ()))


def _languages(config: Config) -> Iterator[Config]:
    for part in ("text_config", "llm_config"):
        if isinstance(config.get(part), dict):
            yield config[part]
