"""A small MiniCPM-V 2.6 with a language model in FP8 or NVFP4, as ModelOpt quantizes it."""

from pathlib import Path
from typing import Any

from tests.builders import Linear, Shapes, bf16, write_checkpoint

WIDTH, INNER, HEADS, CACHED, HEAD = 512, 1024, 8, 4, 64
TOWER, TOWER_INNER, PATCH, SIDE = 128, 256, 14, 10
CONFIG: dict[str, Any] = {
    "model_type": "minicpmv",
    "version": 2.6,
    "auto_map": {"AutoConfig": "configuration_minicpm.MiniCPMVConfig"},
    "vocab_size": 1024,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": CACHED,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 4096,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "drop_vision_last_layer": False,
    "image_size": 448,
    "patch_size": PATCH,
    "query_num": 64,
    "slice_config": {"max_slice_nums": 9, "patch_size": PATCH, "model_type": "minicpmv"},
    "slice_mode": True,
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": TOWER,
        "intermediate_size": TOWER_INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_channels": 3,
        "image_size": PATCH * SIDE,
        "patch_size": PATCH,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "attention_dropout": 0.0,
    },
}


def _norm(module: str, width: int) -> Shapes:
    return {f"{module}.{leaf}": ("BF16", (width,)) for leaf in ("weight", "bias")}


def _biased(module: str, out: int, columns: int) -> Shapes:
    return {**bf16(module, out, columns), f"{module}.bias": ("BF16", (out,))}


def _layer(at: str, linear: Linear) -> Shapes:
    cached = CACHED * HEAD
    sizes = {
        "self_attn.q_proj": (WIDTH, WIDTH),
        "self_attn.k_proj": (cached, WIDTH),
        "self_attn.v_proj": (cached, WIDTH),
        "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.gate_proj": (INNER, WIDTH),
        "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
    }
    out: Shapes = {}
    for part, size in sizes.items():
        out |= linear(f"{at}.{part}", *size)
    for part, width in {"q": WIDTH, "k": cached, "v": cached}.items():
        out[f"{at}.self_attn.{part}_proj.bias"] = ("BF16", (width,))
    norms = ("input_layernorm", "post_attention_layernorm")
    return out | {f"{at}.{norm}.weight": ("BF16", (WIDTH,)) for norm in norms}


def _tower() -> Shapes:
    out: Shapes = {
        **_norm("vpm.post_layernorm", TOWER),
        "vpm.embeddings.patch_embedding.weight": ("BF16", (TOWER, 3, PATCH, PATCH)),
        "vpm.embeddings.patch_embedding.bias": ("BF16", (TOWER,)),
        **bf16("vpm.embeddings.position_embedding", SIDE * SIDE, TOWER),
    }
    for number in range(2):
        at = f"vpm.encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            out |= _biased(f"{at}.self_attn.{part}", TOWER, TOWER)
        out |= _biased(f"{at}.mlp.fc1", TOWER_INNER, TOWER)
        out |= _biased(f"{at}.mlp.fc2", TOWER, TOWER_INNER)
        out |= _norm(f"{at}.layer_norm1", TOWER) | _norm(f"{at}.layer_norm2", TOWER)
    return out


def _resampler() -> Shapes:
    out: Shapes = {
        "resampler.query": ("BF16", (64, WIDTH)),
        "resampler.proj": ("BF16", (WIDTH, WIDTH)),
        "resampler.attn.in_proj_weight": ("BF16", (3 * WIDTH, WIDTH)),
        "resampler.attn.in_proj_bias": ("BF16", (3 * WIDTH,)),
        **_biased("resampler.attn.out_proj", WIDTH, WIDTH),
        **bf16("resampler.kv_proj", WIDTH, TOWER),
    }
    for norm in ("ln_q", "ln_kv", "ln_post"):
        out |= _norm(f"resampler.{norm}", WIDTH)
    return out


def minicpmv(directory: Path, linear: Linear, algo: str, **changes: object) -> Path:
    """Tower, resampler and head are left alone; a changed value that is `...` is left out."""
    tensors: Shapes = {
        **bf16("llm.model.embed_tokens", 1024, WIDTH),
        **bf16("llm.model.norm", WIDTH),
        **bf16("llm.lm_head", 1024, WIDTH),
        **_tower(),
        **_resampler(),
    }
    for number in range(2):
        tensors |= _layer(f"llm.model.layers.{number}", linear)
    given = {key: value for key, value in {**CONFIG, **changes}.items() if value is not ...}
    group = {"group_size": 16} if algo == "NVFP4" else {}
    ignored = ["llm.lm_head", "vpm*", "resampler*"]
    quantization = {"quant_method": "modelopt", "quant_algo": algo, "ignore": ignored, **group}
    return write_checkpoint(
        directory, tensors, quantization, architecture="MiniCPMV", extra_config=given
    )
