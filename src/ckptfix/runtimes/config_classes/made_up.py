"""Configs within config.json that their class fills in where nothing is there."""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.runtimes.config_classes.record import ConfigClass

_TOWERS: Final = frozenset({"vision_config"})
"""A model without audio has null as its config, unless it has no other tower."""
_AUDIO: Final = "audio_config"
_LANGUAGES: Final = frozenset({"text_config", "llm_config", "language_config"})


def made_up(known: ConfigClass | None, values: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Keys of configs that config.json has nothing of: the class takes one of its own default size.

    What a language model's says may be around it instead, as in the first Qwen2-VL.

    Args:
        known: the class that reads config.json, where it is recorded.
        values: config.json.
    """
    if known is None or values is None:
        return ()
    has_vision = not _TOWERS.isdisjoint(known.record.nested)
    towers = _TOWERS if has_vision else _TOWERS | {_AUDIO}
    within = towers if "hidden_size" in values else towers | _LANGUAGES
    filled_in = (key for key in known.record.nested if key not in known.record.left_null)
    return tuple(key for key in filled_in if key in within and not values.get(key))
