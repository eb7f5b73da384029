"""Configs whose class is code of the checkpoint: plain attributes in their place."""

from typing import Any


def register_plain_config(config: dict[str, Any]) -> None:
    """Register a class for a model_type that the library lacks and whose model is in `llm_config`.

    The language model is a NemotronH: no other published layout has an `llm_config` whose class
    neither the library nor a runtime brings.
    """
    from transformers import AutoConfig, NemotronHConfig, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    model_type = config.get("model_type")
    if not model_type or model_type in CONFIG_MAPPING_NAMES or "llm_config" not in config:
        return

    class Part(PretrainedConfig):
        model_type = "learn_part"

    class Plain(PretrainedConfig):
        has_no_defaults_at_init = True

        def __init__(self, llm_config: Any = None, vision_config: Any = None, **given: Any) -> None:
            language = NemotronHConfig(**(llm_config or {}))
            vision = Part(**(vision_config or {}))
            sound = given.pop("sound_config", None)
            if isinstance(sound, dict) and "projection_bias" in sound:
                given["sound_config"] = Part(**sound)
            for key, value in (("norm_mean", [0.5] * 3), ("norm_std", [0.5] * 3)):
                given.setdefault(key, value)
            given.setdefault("use_cache", False)
            object.__setattr__(self, "_language", language)  # the base asks before it is set
            super().__init__(**given)
            self.llm_config = self.text_config = language
            self.vision_config = vision
            del self.__dict__["_language"]

        def get_text_config(self, *_: Any, **__: Any) -> Any:
            return self.__dict__.get("llm_config") or self.__dict__.get("_language")

    Plain.model_type = model_type
    try:
        AutoConfig.register(model_type, Plain)
    except ValueError:  # registered by an earlier try
        return
