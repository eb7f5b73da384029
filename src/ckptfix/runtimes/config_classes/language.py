"""A config within config.json that is taken for the language model's, though no class reads it.

What a config class does not know becomes a plain attribute. Runtimes look for the language model's
config under fixed names, and stop where such an attribute is no config that they can build from.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from ckptfix.runtimes.config_classes.record import ConfigClassesRow, library_nested

StrayConfig = Callable[[str, Mapping[str, Any], Collection[str]], str]
"""(release, config.json, keys of configs that its class reads) -> the key of a value that stops it,
empty if there is none."""
LOOKED_FOR: Final = ("text_encoder", "decoder", "generator", "text_config")
"""Names that `get_text_config` tries; it raises where two have a value (transformers 4.57.6 and
5.19.0, transformers/configuration_utils.py)."""
_OWN_ANSWER: Final = frozenset(
    {"qwen2_5_omni", "qwen3_omni_moe", "colqwen2", "dia", "canary", "colmodernvbert"}
)
"""model_type of classes of transformers with a `get_text_config` of their own."""


def second_language_config(values: Mapping[str, Any], nested: Collection[str]) -> str:
    """The key of a value that `get_text_config` finds next to a config that the class reads."""
    own = [key for key in LOOKED_FOR if key in nested and isinstance(values.get(key), dict)]
    others = (key for key in LOOKED_FOR if key not in nested and values.get(key) is not None)
    return next(others, "") if own else ""


def stray_language_config(
    rows: Sequence[ConfigClassesRow], version: str, values: Mapping[str, Any], stops: StrayConfig
) -> str:
    """The key of a value that stops a release because it takes it for a config; else empty.

    Only for classes of transformers: those of a runtime may set such an attribute themselves.

    Args:
        rows: of the runtime.
        version: its release.
        values: config.json.
        stops: what the runtime does.
    """
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type in _OWN_ANSWER:
        return ""
    nested = library_nested(rows, version, model_type)
    return "" if nested is None else stops(version, values, nested)
