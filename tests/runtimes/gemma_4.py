"""A small text model of Gemma 4 with experts, in NVFP4 of compressed-tensors."""

from pathlib import Path
from typing import Any

from tests.builders import Shapes, bf16, write_checkpoint

LAYERS, EXPERTS, SIZE, HEAD = 2, 4, 64, 16
_ROPE = {
    "full_attention": {
        "partial_rotary_factor": 0.25,
        "rope_theta": 1e6,
        "rope_type": "proportional",
    },
    "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
}
CONFIG: dict[str, Any] = {
    "architectures": ["Gemma4ForCausalLM"],
    "model_type": "gemma4_text",
    "hidden_size": SIZE,
    "intermediate_size": SIZE,
    "vocab_size": SIZE,
    "vocab_size_per_layer_input": SIZE,
    "hidden_size_per_layer_input": 0,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": SIZE // HEAD,
    "num_key_value_heads": SIZE // HEAD,
    "head_dim": HEAD,
    "global_head_dim": HEAD,
    "layer_types": ["sliding_attention", "full_attention"],
    "enable_moe_block": True,
    "num_experts": EXPERTS,
    "top_k_experts": 2,
    "moe_intermediate_size": SIZE,
    "tie_word_embeddings": True,
    "sliding_window": 512,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 4096,
    "dtype": "bfloat16",
    "rope_parameters": _ROPE,
}
_GROUP = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group",
          "group_size": 16}  # fmt: skip
METADATA: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "nvfp4-pack-quantized",
    "ignore": ["lm_head", "re:.*router.*"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": _GROUP | {"dynamic": False},
            "input_activations": _GROUP | {"dynamic": "local"},
        }
    },
}
NORMS = (
    "input_layernorm", "post_attention_layernorm",
    "pre_feedforward_layernorm", "post_feedforward_layernorm",
    "pre_feedforward_layernorm_2", "post_feedforward_layernorm_1", "post_feedforward_layernorm_2",
)  # fmt: skip


def nvfp4(name: str) -> Shapes:
    """A square weight of compressed-tensors in NVFP4, with a static scale of its inputs."""
    return {
        f"{name}.weight_packed": ("U8", (SIZE, SIZE // 2)),
        f"{name}.weight_scale": ("F8_E4M3", (SIZE, SIZE // 16)),
        f"{name}.weight_global_scale": ("F32", (1,)),
        f"{name}.input_global_scale": ("F32", (1,)),
    }


def gemma_4(at: Path, *, bank: str) -> Path:
    """Write it, with experts stored one by one below `bank`, as `experts` or `moe.experts`."""
    tensors: Shapes = {**bf16("model.embed_tokens", SIZE, SIZE)}
    tensors["model.norm.weight"] = ("BF16", (SIZE,))
    for number in range(LAYERS):
        layer = f"model.layers.{number}."
        names = [f"self_attn.{part}_proj" for part in "qkvo"]
        for owner in ("mlp", *(f"{bank}.{expert}" for expert in range(EXPERTS))):
            names += [f"{owner}.{part}_proj" for part in ("gate", "up", "down")]
        for name in names:
            tensors |= nvfp4(layer + name)
        for norm in NORMS:
            tensors[f"{layer}{norm}.weight"] = ("BF16", (SIZE,))
        for norm in ("q_norm", "k_norm"):
            tensors[f"{layer}self_attn.{norm}.weight"] = ("BF16", (HEAD,))
        tensors |= bf16(f"{layer}router.proj", EXPERTS, SIZE)
        tensors[f"{layer}router.scale"] = ("BF16", (SIZE,))
        tensors[f"{layer}router.per_expert_scale"] = ("BF16", (EXPERTS,))
        tensors[f"{layer}layer_scalar"] = ("BF16", (1,))
    return write_checkpoint(at / "model", tensors, METADATA, extra_config=CONFIG)
