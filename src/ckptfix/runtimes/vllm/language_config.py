"""A value of config.json that vLLM takes for the config of the language model.

Source: vllm 0.15.0 to 0.33.0, vllm/transformers_utils/config.py (`_CONFIG_ATTRS_MAPPING`,
`get_hf_text_config`), which stops where what it finds has no `num_attention_heads`; a plain object
has no attributes.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from ckptfix.runtimes.config_classes import LOOKED_FOR, second_language_config

_RENAMED: Final = "llm_config"
"""Called `text_config` where the class has none."""


def stray_config(version: str, values: Mapping[str, Any], nested: Collection[str]) -> str:
    """See `ckptfix.runtimes.config_classes.StrayConfig`; every known release does the same."""
    del version
    if not set(LOOKED_FOR).isdisjoint(nested):
        return second_language_config(values, nested)
    names = LOOKED_FOR if "text_config" in values else (*LOOKED_FOR, _RENAMED)
    return next((key for key in names if values.get(key) is not None and key not in nested), "")
