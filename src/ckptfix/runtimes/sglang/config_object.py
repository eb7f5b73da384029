"""Which part of config.json fills in the top of SGLang's config object.

SGLang copies what a config has for its language model to the top of the config object. For a
model_type with a config class of its own it then reads config.json once more, and the copy is lost.

Sources: SGLang 0.5.8 to 0.5.23, sglang/srt/utils/hf_transformers_utils.py, since 0.5.11
sglang/srt/utils/hf_transformers/{config,common}.py (`get_config`, `get_hf_text_config`).
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from ckptfix.checkpoint.dialects.statements import TEXT_CONFIGS, find_at
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.config_classes import second_language_config
from ckptfix.runtimes.sglang.correction import SglangRelease
from ckptfix.runtimes.sglang.own_configs import own_configs

_TEXT: Final = ("text_config",)
_TAKEN: Final = ("thinker_config", "llm_config", "language_config", "text_config")
"""Keys of what is taken for the language model's config, the one that counts first."""
_ASSERTED: Final = ("llm_config", "text_config")
"""Those that may not be null."""
_NEEDED: Final = ("num_attention_heads", "hidden_size", "num_hidden_layers")
"""Without one of them nothing is built."""
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
    if model_type in own_configs(release.reading.since):
        return _COPIED.get(model_type)
    architecture = release.architecture
    if architecture.startswith("Llava") and architecture.endswith("ForCausalLM"):
        return None
    found = [path for path in TEXT_CONFIGS if isinstance(find_at(config, path), dict)]
    if release.reading.text_config_first and _TEXT in found:
        return _TEXT
    return next(iter(found), None)


def stray_config(version: str, values: Mapping[str, Any], nested: Collection[str]) -> str:
    """See `ckptfix.runtimes.config_classes.StrayConfig`.

    Of several names the first one counts; whatever has one of them must be an object or null, from
    which `PretrainedConfig` can be made, and the model is then built with that (SGLang 0.5.23; the
    order of older releases was not read).
    """
    if not covers(">=0.5.23", version):
        return ""
    if second := second_language_config(values, nested):
        return second
    given = [key for key in _TAKEN if key in values and key not in nested]
    unfit = [key for key in given if not isinstance(values[key], dict | None)]
    if unfit or not given:
        return next(iter(unfit), "")
    taken = given[0] if not set(_TAKEN[: _TAKEN.index(given[0])]) & set(nested) else ""
    value = values.get(taken)
    if value is None:
        return taken if taken in _ASSERTED else ""
    return taken if any(key not in value for key in _NEEDED) else ""
