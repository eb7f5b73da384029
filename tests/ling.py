"""A small Ling 2.0, whose config class is code in the checkpoint, as ModelOpt quantizes it."""

from pathlib import Path
from typing import Any

from tests.builders import Shapes, fp8, write_checkpoint

WIDTH, HEADS, CACHED, HEAD, EXPERTS = 512, 8, 4, 64, 8
CONFIG: dict[str, Any] = {
    "model_type": "bailing_moe",
    "auto_map": {"AutoConfig": "configuration_bailing_moe_v2.BailingMoeV2Config"},
    "vocab_size": 1024,
    "hidden_size": WIDTH,
    "intermediate_size": 1024,
    "moe_intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": HEADS,
    "num_key_value_heads": CACHED,
    "head_dim": HEAD,
    "hidden_act": "silu",
    "use_qkv_bias": False,
    "use_bias": False,
    "use_qk_norm": True,
    "use_rmsnorm": True,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "max_position_embeddings": 4096,
    "rope_theta": 600000.0,
    "rope_scaling": None,
    "partial_rotary_factor": 0.5,
    "num_experts": EXPERTS,
    "num_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_router_enable_expert_bias": True,
    "routed_scaling_factor": 2.5,
    "norm_topk_prob": True,
    "score_function": "sigmoid",
    "router_dtype": "fp32",
    "num_nextn_predict_layers": 0,
    "embedding_dropout": 0.0,
}


def _mlp(place: str, inner: int) -> Shapes:
    return {
        **fp8(f"{place}gate_proj", inner, WIDTH),
        **fp8(f"{place}up_proj", inner, WIDTH),
        **fp8(f"{place}down_proj", WIDTH, inner),
    }


def _layer(number: int) -> Shapes:
    at = f"model.layers.{number}."
    norms = ("input_layernorm", "post_attention_layernorm")
    out: Shapes = {
        **fp8(f"{at}attention.query_key_value", (HEADS + 2 * CACHED) * HEAD, WIDTH),
        **fp8(f"{at}attention.dense", WIDTH, HEADS * HEAD),
        **{f"{at}{norm}.weight": ("BF16", (WIDTH,)) for norm in norms},
        **{f"{at}attention.{n}_layernorm.weight": ("BF16", (HEAD,)) for n in ("query", "key")},
    }
    if number < CONFIG["first_k_dense_replace"]:
        return {**out, **_mlp(f"{at}mlp.", 1024)}
    for expert in range(EXPERTS):
        out |= _mlp(f"{at}mlp.experts.{expert}.", 256)
    return {
        **out,
        **_mlp(f"{at}mlp.shared_experts.", 256),
        f"{at}mlp.gate.weight": ("BF16", (EXPERTS, WIDTH)),
        f"{at}mlp.gate.expert_bias": ("BF16", (EXPERTS,)),
    }


def ling(directory: Path, **changes: object) -> Path:
    """In FP8 but for the head; a changed value of config.json that is `...` is left out."""
    tensors: Shapes = {
        "model.word_embeddings.weight": ("BF16", (1024, WIDTH)),
        "model.norm.weight": ("BF16", (WIDTH,)),
        "lm_head.weight": ("BF16", (1024, WIDTH)),
    }
    for number in range(CONFIG["num_hidden_layers"]):
        tensors |= _layer(number)
    config = {key: value for key, value in {**CONFIG, **changes}.items() if value is not ...}
    declared = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    return write_checkpoint(
        directory, tensors, declared, architecture="BailingMoeV2ForCausalLM", extra_config=config
    )
