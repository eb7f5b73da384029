"""Mistral's own format, as far as the stand-in for vLLM reads it; copied next to it."""

import json
from pathlib import Path
from typing import Any

OWN_KEYS = {
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "num_hidden_layers": "n_layers",
}
OWN_NAMES = {
    "tok_embeddings": "model.embed_tokens",
    "output": "lm_head",
    "norm": "model.norm",
    "layers": "model.layers",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attention": "self_attn",
    "feed_forward": "mlp",
    "wq": "q_proj",
    "wk": "k_proj",
    "wv": "v_proj",
    "wo": "o_proj",
    "w1": "gate_proj",
    "w2": "down_proj",
    "w3": "up_proj",
}
"""Of Mistral's own format; `of_its_own` tells a name of it by its first part."""


def of_its_own(name: str) -> str:
    if name.startswith(("model.", "lm_head.")):
        return name
    return ".".join(OWN_NAMES.get(part, part) for part in name.split("."))


def config_in(folder: Path, *, own: bool) -> dict[str, Any]:
    file = folder / ("params.json" if own else "config.json")
    values: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return values | {key: values[its] for key, its in OWN_KEYS.items() if own}
