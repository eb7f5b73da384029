"""Mistral's own format: `params.json` in place of config.json, and shard files of other names.

Sources: vllm 0.33.0, vllm/transformers_utils/configs/mistral.py (`adapt_config_dict`) and
vllm/model_executor/model_loader/default_loader.py (`_prepare_weights`); sglang 0.5.23,
sglang/srt/utils/hf_transformers/mistral_utils.py. Both make of params.json what config.json of
transformers would hold, so it is kept in those keys; what stops a release is in its folder.
"""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.checkpoint.dialects.statements import CONFIG_ROOT, PARAMS_FILE
from ckptfix.checkpoint.shard_index import ShardNames
from ckptfix.checkpoint.source import Source

OWN_SHARDS: Final = ShardNames("consolidated.safetensors.index.json", start="consolidated")
OWN_FILES: Final = f"{OWN_SHARDS.start}*.safetensors"
OWN_SINGLE_FILE: Final = "consolidated.safetensors"
JSON_FILES: Final = (PARAMS_FILE, OWN_SHARDS.index_file)
"""Those that only this format has."""
LARGE_3: Final = "MistralLarge3ForCausalLM"
PIXTRAL: Final = "PixtralForConditionalGeneration"
VOXTRAL: Final = "VoxtralForConditionalGeneration"
VOXTRAL_REALTIME: Final = "VoxtralRealtimeGeneration"
_RENAMED: Final = {
    "dim": "hidden_size",
    "norm_eps": "rms_norm_eps",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
}
_WITH_DEFAULTS: Final[Mapping[str, tuple[str, Any]]] = {
    "model_type": ("model_type", "transformer"),
    "hidden_act": ("activation", "silu"),
    "tie_word_embeddings": ("tied_embeddings", False),
    "max_position_embeddings": ("max_position_embeddings", 128_000),
}
_EXPERTS: Final = {
    "route_every_n": "moe_layer_freq",
    "first_k_dense_replace": "first_k_dense_replace",
    "num_experts_per_tok": "num_experts_per_tok",
    "num_experts": "n_routed_experts",
    "expert_hidden_dim": "moe_intermediate_size",
    "routed_scale": "routed_scaling_factor",
    "num_shared_experts": "n_shared_experts",
    "num_expert_groups": "n_group",
    "num_expert_groups_per_tok": "topk_group",
}
_ONE_EXPERT: Final = {"num_experts": 1, "route_every_n": 1, "num_shared_experts": 1}
"""Of a model with latent attention and no experts."""
_YARN: Final = {
    "factor": "factor",
    "original_max_position_embeddings": "original_max_position_embeddings",
    "beta": "beta_fast",
    "alpha": "beta_slow",
}
_TOWERS: Final = ("multimodal", "vision_encoder")
_AUDIO: Final = {
    "dim": "d_model",
    "n_layers": "encoder_layers",
    "hidden_dim": "encoder_ffn_dim",
    "n_heads": "encoder_attention_heads",
    "head_dim": "encoder_head_dim",
    "vocab_size": "vocab_size",
}


def is_stored_in(source: Source) -> bool:
    """True for a checkpoint in Mistral's own format, perhaps next to that of transformers.

    (vllm 0.33.0, vllm/transformers_utils/repo_utils.py `is_mistral_model_repo`.)
    """
    return source.has(PARAMS_FILE) and any(map(OWN_SHARDS.covers, source.names()))


def shard_below(source: Source) -> str:
    """The first shard file of this format in a folder of the checkpoint, where it has none itself.

    vLLM takes one for a sign that all weights are in this format, and then looks for them next to
    config.json alone (vllm 0.15.0 to 0.33.0, vllm/transformers_utils/repo_utils.py
    `list_filtered_repo_files`, vllm/model_executor/model_loader/default_loader.py
    `_prepare_weights`).
    """
    if any(map(OWN_SHARDS.covers, source.names())):
        return ""
    found = (path for path in source.below() if OWN_SHARDS.covers(path.rpartition("/")[2]))
    return next(found, "")


def config_made_of(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """params.json in the keys of config.json, without its quantization.

    Values of an unexpected type stay as they are: a release that refuses them is asked later.

    Args:
        params: the content of params.json.
        defaults: config.json, which fills in what is missing at the top; empty without one.
    """
    made = {key: value for key, value in params.items() if key not in (*_TOWERS, "quantization")}
    made.pop(CONFIG_ROOT[0], None)
    for own, key in _RENAMED.items():
        if own in made:
            made[key] = made.pop(own)
    for key, (own, default) in _WITH_DEFAULTS.items():
        made[key] = made.pop(own, default)
    made |= _windows(made)
    made["architectures"] = [_text_class(made)]
    made |= _experts(made)
    yarn = made.get("yarn")
    if isinstance(yarn, dict) and yarn:
        values = {new: yarn[own] for own, new in _YARN.items() if own in yarn}
        theta = {"rope_theta": made.pop("rope_theta")} if made.get("rope_theta") else {}
        made["rope_parameters"] = {"rope_type": "yarn", "mscale_all_dim": 1, **theta, **values}
    made = _with_tower(made, params)
    kept = {key: value for key, value in defaults.items() if key != CONFIG_ROOT[0]}
    return {**kept, **made}


def vision_of(params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that describes the vision tower; None without one."""
    several = params.get("multimodal")
    if isinstance(several, dict) and several.get("vision_encoder_args"):
        return several  # as a whole, which is what vLLM takes
    found = params.get("vision_encoder")
    return found if isinstance(found, dict) and found else None


def audio_of(params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The objects that describe the audio tower; None without one."""
    several = params.get("multimodal")
    found = several.get("whisper_model_args") if isinstance(several, dict) else None
    encoder = found.get("encoder_args") if isinstance(found, dict) else None
    return found if isinstance(encoder, dict) and encoder else None


def _windows(made: Mapping[str, Any]) -> dict[str, Any]:
    """Kinds of layers by a list of windows, which is repeated over them."""
    windows, number = made.get("sliding_window"), made.get("num_hidden_layers")
    if not isinstance(windows, list) or not windows or not isinstance(number, int):
        return {}
    kinds = ["full_attention" if each is None else "sliding_attention" for each in windows]
    window = next((each for each in windows if each), None)
    return {"layer_types": kinds * (number // len(windows)), "sliding_window": window}


def _text_class(made: Mapping[str, Any]) -> str:
    experts = made.get("moe")
    if made["model_type"] == "mamba":
        return "Mamba2ForCausalLM"
    if made.get("qk_nope_head_dim") and not experts:
        return LARGE_3
    if not isinstance(experts, dict) or not experts:
        return "MistralForCausalLM"
    return LARGE_3 if experts.get("num_shared_experts") else "MixtralForCausalLM"


def _experts(made: dict[str, Any]) -> dict[str, Any]:
    if made["architectures"] != [LARGE_3]:
        return {}
    experts = made.get("moe") or {
        **_ONE_EXPERT,
        "first_k_dense_replace": made.get("num_hidden_layers"),
        "expert_hidden_dim": made.get("intermediate_size"),
        "num_experts_per_tok": 1,
    }
    renamed = {new: experts[own] for own, new in _EXPERTS.items() if own in experts}
    return {"model_type": "deepseek_v3", "topk_method": None, **renamed}


def _with_tower(text: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    vision, audio = vision_of(params), audio_of(params)
    if vision is not None:
        return {
            "model_type": "pixtral",
            "architectures": [PIXTRAL],
            "text_config": text,
            "vision_config": dict(vision),
        }
    if audio is None:
        return text
    encoder = audio["encoder_args"]
    return {
        "model_type": "voxtral",
        "architectures": [VOXTRAL_REALTIME if encoder.get("causal") else VOXTRAL],
        "text_config": text,
        "audio_config": {new: encoder[own] for own, new in _AUDIO.items() if own in encoder},
    }
