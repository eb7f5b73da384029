"""Other configs of an architecture: one value changed, or what makes it another model.

A class builds other modules for them, as published models of one architecture differ: biases, a
tied head, layers that share keys and values, experts.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Changes = Iterator[tuple[str, dict[str, Any]]]

PARTS: Final = ("text_config", "llm_config", "language_config", "thinker_config")
"""Keys of a language model's config."""
_SAY_NOTHING: Final = (
    "use_cache", "output_", "return_dict", "is_", "torchscript", "tie_encoder", "add_cross",
    "norm_topk_prob", "residual_in_fp32", "rescale_prenorm_residual", "use_mamba_kernels",
)  # fmt: skip
"""Starts of switches on which no tensor depends, in any class."""
_NUMBERS: Final[Mapping[str, tuple[Any, Any]]] = {
    "q_lora_rank": (64, None),
    "num_kv_shared_layers": (2, 0),
    "first_k_dense_replace": (1, 0),
    "shared_expert_intermediate_size": (256, 0),
    "num_shared_experts": (1, 0),
    "n_shared_experts": (1, 0),
}
"""Key -> what it becomes if nothing is set, and if something is."""
_GEMMA_4: Final[Mapping[str, dict[str, Any]]] = {
    "experts": {
        "enable_moe_block": True, "num_experts": 8, "top_k_experts": 2,
        "moe_intermediate_size": 256,
    },
    "shared": {"num_kv_shared_layers": 2, "use_double_wide_mlp": True},
    "no-embeddings-per-layer": {"hidden_size_per_layer_input": 0},
    "keys-are-values": {
        "attention_k_eq_v": True, "num_global_key_value_heads": 2, "global_head_dim": 128,
        "hidden_size_per_layer_input": 0,
    },
}  # fmt: skip
"""As in gemma-4-26B-A4B, gemma-4-E2B and gemma-4-31B."""
_MODELS: Final[Mapping[str, Mapping[str, dict[str, Any]]]] = {
    "Gemma4ForCausalLM": _GEMMA_4,
    "Gemma4ForConditionalGeneration": {
        name: {"text_config": change} for name, change in _GEMMA_4.items()
    },
}
"""Architecture -> name of a change that needs several values -> the change."""


def changes(architecture: str, config: Mapping[str, Any]) -> Changes:
    """(Name, values to put into the config) of each change."""
    yield from _MODELS.get(architecture, {}).items()
    yield from _flips(config)
    for part in PARTS:
        if isinstance(config.get(part), dict):
            for name, change in _flips(config[part]):
                yield f"{part}.{name}", {part: change}


def _flips(config: Mapping[str, Any]) -> Changes:
    for key, value in config.items():
        if isinstance(value, bool) and not key.startswith(_SAY_NOTHING):
            yield key, {key: not value}
        elif key in _NUMBERS:
            unset, otherwise = _NUMBERS[key]
            yield key, {key: otherwise if value else unset}


def merged(config: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the values of a change, in parts too."""
    out = dict(config)
    for key, value in change.items():
        inner = out.get(key)
        out[key] = merged(inner, value) if isinstance(inner, dict) else value
    return out
