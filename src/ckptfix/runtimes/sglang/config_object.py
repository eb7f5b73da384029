"""Which part of config.json fills in the top of SGLang's config object.

SGLang copies what a config has for its language model to the top of the config object. For a
model_type with a config class of its own it then reads config.json once more, and the copy is lost.

Sources: SGLang 0.5.8 to 0.5.23, sglang/srt/utils/hf_transformers_utils.py, since 0.5.11
sglang/srt/utils/hf_transformers/{config,common}.py (`get_config`, `get_hf_text_config`).
"""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.checkpoint.dialects.statements import TEXT_CONFIGS, find_at
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.sglang.correction import SglangRelease

_TEXT: Final = ("text_config",)
_COPIED: Final[Mapping[str, Path]] = {
    "internvl_chat": ("llm_config",),
    "kimi_k25": _TEXT,
    "kimi_k3": _TEXT,
    "glm5_next": _TEXT,
}
"""model_type with a class of its own, which copies it as well -> where it has the language model
(`get_config`, and sglang/srt/configs/{kimi_k25,kimi_k3,glm5_next}.py of 0.5.23)."""


def shown_text_config(config: Mapping[str, Any], release: SglangRelease) -> Path | None:
    """Path of the language model's config, what it has is at the top of the config object too.

    None if there is none, or what it has is not kept.
    """
    model_type = str(config.get("model_type"))
    if model_type in release.reading.own_configs:
        return _COPIED.get(model_type)
    architecture = release.architecture
    if architecture.startswith("Llava") and architecture.endswith("ForCausalLM"):
        return None
    found = [path for path in TEXT_CONFIGS if isinstance(find_at(config, path), dict)]
    if release.reading.text_config_first and _TEXT in found:
        return _TEXT
    return next(iter(found), None)
