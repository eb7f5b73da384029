"""config.json of the demo, with the keys that transformers and the runtimes read."""

from typing import Any, Final

HIDDEN: Final = 64
INNER: Final = 96
KV: Final = 32
VOCABULARY: Final = 128
HEADS: Final = 4
HEAD: Final = 16
GROUPS: Final = 2
STATE: Final = 16
CONV: Final = HIDDEN + 2 * GROUPS * STATE
"""Channels of the convolution: the hidden state, and B and C of each group."""
VISION: Final = 32
MERGED: Final = 4 * VISION
"""Four patches are merged before the projector."""
PATTERN: Final = "M-M*-"
"""A letter a layer: Mamba, MLP or attention."""


def model_config() -> dict[str, Any]:
    """config.json without `quantization_config`."""
    return {
        "architectures": ["NemotronH_Nano_VL_V2"],
        "model_type": "NemotronH_Nano_VL_V2",
        "dtype": "bfloat16",
        "downsample_ratio": 0.5,
        "force_image_size": 16,
        "image_tag_type": "internvl",
        "img_context_token_id": 5,
        "patch_size": 4,
        "projector_hidden_size": INNER,
        "ps_version": "v2",
        "template": "nemotron_h",
        "vit_hidden_size": VISION,
        "vision_config": {
            "architectures": ["RADIOModel"],
            "args": {"model": "vit_huge_patch16_224"},
            "model_type": "radio",
            "patch_size": 4,
            "version": "radio_v2.5-h",
        },
        "llm_config": _language_model(),
    }


def _language_model() -> dict[str, Any]:
    return {
        "architectures": ["NemotronHForCausalLM"],
        "model_type": "nemotron_h",
        "dtype": "bfloat16",
        "chunk_size": 16,
        "conv_kernel": 4,
        "expand": 2,
        "head_dim": HEAD,
        "hidden_size": HIDDEN,
        "hybrid_override_pattern": PATTERN,
        "intermediate_size": INNER,
        "layer_norm_epsilon": 1e-05,
        "mamba_head_dim": HEAD,
        "mamba_hidden_act": "silu",
        "mamba_num_heads": HEADS,
        "mamba_proj_bias": False,
        "mamba_ssm_cache_dtype": "float32",
        "max_position_embeddings": 256,
        "mlp_bias": False,
        "mlp_hidden_act": "relu2",
        "n_groups": GROUPS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": len(PATTERN),
        "num_key_value_heads": KV // HEAD,
        "residual_in_fp32": False,
        "ssm_state_size": STATE,
        "tie_word_embeddings": False,
        "use_bias": False,
        "use_conv_bias": True,
        "vocab_size": VOCABULARY,
    }
