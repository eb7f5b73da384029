"""The language models that a class may have inside: those of its published checkpoints.

Which one is built is the value of one key of config.json, and everything below it follows from that
value.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from place_learner import variants
from place_learner.variants import Config

_INSIDE: Final[Mapping[str, Sequence[str]]] = {
    "InternVLChatModel": ("qwen2", "qwen3", "qwen3_moe", "llama"),
    "InternVLForConditionalGeneration": ("qwen2", "qwen3", "qwen3_moe"),
    "LlavaForConditionalGeneration": ("llama", "mistral", "qwen2"),
    "LlavaNextForConditionalGeneration": ("llama", "mistral", "qwen2"),
    "LlavaOnevisionForConditionalGeneration": ("qwen2", "qwen3"),
}
"""Architecture -> values of `model_type` of its language model."""
_PARTS: Final = ("text_config", "llm_config")


def others(architecture: str, config: Config) -> Iterator[tuple[str, Config]]:
    """``(part.model_type, config)`` for every other language model, its values the library's."""
    part = next((p for p in _PARTS if isinstance(config.get(p), dict)), "")
    if not part:
        return
    own = config[part]
    for kind in _INSIDE.get(architecture, ()):
        if own.get("model_type") != kind:
            made = _library(kind)
            kept = {"tie_word_embeddings": own.get("tie_word_embeddings", False)}
            yield f"{part}.model_type", {**copy.deepcopy(config), part: {**made, **kept}}


def _library(kind: str) -> Config:
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    config_class = CONFIG_MAPPING[kind]
    values: dict[str, Any] = config_class().to_dict()
    named = MODEL_FOR_CAUSAL_LM_MAPPING[config_class].__name__
    return variants.shrink({**values, "model_type": kind, "architectures": [named]})
