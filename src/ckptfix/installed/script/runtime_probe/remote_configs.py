"""Configs whose class is code in the checkpoint: plain attributes replace it."""

from typing import Any, Final

_ROPE: Final = frozenset({"rope_theta", "rope_scaling"})


def note(config: dict[str, Any], known: Any) -> list[str]:
    """The note on a config that gets plain attributes; nothing if its class is available.

    Args:
        config: config.json.
        known: model types that the runtime itself has a class for.
    """
    if not _is_remote(config, known):
        return []
    return ["the config class is code in the checkpoint, which is not run: its keys are attributes"]


def drop_incomplete_sound(config: dict[str, Any]) -> bool:
    """Remove an audio tower if sizes are missing that only the absent class would know."""
    sound = config.get("sound_config")
    incomplete = isinstance(sound, dict) and "projection_bias" not in sound
    if incomplete:
        del config["sound_config"]
    return incomplete


def _is_remote(config: dict[str, Any], known: Any) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    model_type = config.get("model_type")
    if not model_type or model_type in CONFIG_MAPPING_NAMES:
        return False
    return "llm_config" in config or ("auto_map" in config and model_type not in known)


def register_plain_config(config: dict[str, Any], known: Any = ()) -> None:
    """Register a class for a model_type for which neither the library nor the runtime has one.

    A language model in `llm_config` is a NemotronH: no other published layout has an `llm_config`
    whose class neither the library nor a runtime brings.
    """
    if not _is_remote(config, known):
        return
    from transformers import AutoConfig

    plain = _with_language_model() if "llm_config" in config else _flat()
    plain.model_type = config["model_type"]
    try:
        AutoConfig.register(config["model_type"], plain)
    except ValueError:  # registered by an earlier try
        return


def _flat() -> Any:
    """Every key becomes an attribute, and every sub-config a config."""
    from transformers import PretrainedConfig

    class Part(PretrainedConfig):
        model_type = "plain_part"

    class Plain(PretrainedConfig):
        has_no_defaults_at_init = True

        def __init__(self, **given: Any) -> None:
            for key, value in given.items():
                if key.endswith("_config") and isinstance(value, dict):
                    given[key] = value if key == "quantization_config" else Part(**value)
                elif key.endswith("_configs") and isinstance(value, list):
                    given[key] = [_Attributes.of(part) for part in value]
            # As classes written for transformers 4 do: 5 makes rope_parameters of what it finds.
            for key in _ROPE & given.keys():
                setattr(self, key, given.pop(key))
            super().__init__(**given)

    return Plain


class _Attributes(dict[str, Any]):
    """A mapping with its keys as attributes: one of a list of configs, as of DeciLM's blocks."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @classmethod
    def of(cls, value: Any) -> Any:
        """The same for nested values; anything else unchanged."""
        if isinstance(value, dict):
            return cls((key, cls.of(inner)) for key, inner in value.items())
        return value


def _with_language_model() -> Any:
    from transformers import NemotronHConfig, PretrainedConfig

    class Part(PretrainedConfig):
        model_type = "plain_part"

    class Plain(PretrainedConfig):
        has_no_defaults_at_init = True

        def __init__(self, llm_config: Any = None, vision_config: Any = None, **given: Any) -> None:
            language = NemotronHConfig(**(llm_config or {}))
            vision = Part(**(vision_config or {}))
            drop_incomplete_sound(given)
            if "sound_config" in given:
                given["sound_config"] = Part(**given["sound_config"])
            for key, value in (("norm_mean", [0.5] * 3), ("norm_std", [0.5] * 3)):
                given.setdefault(key, value)
            given.setdefault("use_cache", False)
            object.__setattr__(self, "_language", language)  # the base reads it before it is set
            super().__init__(**given)
            self.llm_config = self.text_config = language
            self.vision_config = vision
            del self.__dict__["_language"]

        def get_text_config(self, *_: Any, **__: Any) -> Any:
            return self.__dict__.get("llm_config") or self.__dict__.get("_language")

    return Plain
