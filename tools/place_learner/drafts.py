"""Draft models: which architectures they are, and for which target each is registered."""

import re
from collections.abc import Collection
from typing import Final

_DRAFT: Final = re.compile(
    r"(?:MTP|MTPModel|NextN|Eagle3?)\Z|\A(?:P?[Ee]agle|DFlash)|DSpark|Assistant"
)
_INSIDE: Final = re.compile(r"(?:MTPModel|MTP|NextN)\Z")
_ENDING: Final = re.compile(r"(?:MTPModel|MTP|NextN|Eagle3?)\Z")
_FORMS: Final = ("", "ForCausalLM", "ForConditionalGeneration")
_TARGETS: Final = {
    "DeepSeekMTPModel": "DeepseekV3ForCausalLM",
    "DeepseekV32MTPModel": "DeepseekV32ForCausalLM",
    "DeepSeekV4MTPModel": "DeepseekV4ForCausalLM",
    "EagleMistralLarge3ForCausalLM": "MistralLarge3ForCausalLM",
    "ErnieMTPModel": "Ernie4_5_MoeForCausalLM",
    "BailingMoeV25MTPModel": "BailingMoeV2_5ForCausalLM",
    "LongCatFlashMTPModel": "LongcatFlashForCausalLM",
    "MiMoV2MTPModel": "MiMoV2FlashForCausalLM",
    "MiMoV2MTP": "MiMoV2FlashForCausalLM",
    "NemotronHMTPModel": "NemotronHForCausalLM",
    "OpenPanguMTPModel": "PanguUltraMoEForCausalLM",
}
"""vLLM sets these names itself, in `SpeculativeConfig.hf_config_override`."""
_OF_TARGET: Final = re.compile(
    r"(?:^|\.)(?:(?:embed_tokens|lm_head|shared_head\.head)\.weight|mask_embedding)\Z"
)


def is_draft(architecture: str) -> bool:
    """Whether a class runs with a target model.

    >>> is_draft("DeepseekV3ForCausalLMNextN"), is_draft("DeepseekV3ForCausalLM")
    (True, False)
    """
    return bool(_DRAFT.search(architecture))


def is_inside(architecture: str) -> bool:
    """Whether a draft is stored with its target, and has no config of its own."""
    return bool(_INSIDE.search(architecture))


def target(architecture: str, registered: Collection[str]) -> str:
    """The architecture that a draft runs with; empty if unknown."""
    named = _TARGETS.get(architecture, "")
    stem = _ENDING.sub("", architecture)
    tries = [named, *(stem + form for form in _FORMS if stem != architecture)]
    return next((name for name in tries if name in registered), "")


def is_of_target(parameter: str) -> bool:
    """Whether a draft has a parameter from its target where the checkpoint has none."""
    return bool(_OF_TARGET.search(parameter))
