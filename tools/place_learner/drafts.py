"""Draft models: which architectures they are, and for which target each is registered."""

import re
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Final

_DRAFT: Final = re.compile(
    r"(?:MTP|MTPModel|NextN|Eagle3?)\Z|\A(?:P?[Ee]agle|DFlash)|DSpark|Assistant"
)
_INSIDE: Final = re.compile(r"(?:MTPModel|MTP|NextN)\Z")
_ENDING: Final = re.compile(r"(?:MTPModel|MTP|NextN|Eagle3?)\Z")
_FORMS: Final = ("", "ForCausalLM", "ForConditionalGeneration")
_OWN: Final = {"EagleMistralLarge3ForCausalLM": "MistralLarge3ForCausalLM"}
"""Drafts with a config of their own that are not named after their target."""
_RUNTIMES: Final = Path(__file__).parents[2] / "src" / "ckptfix" / "runtimes"
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


@cache
def _inside() -> tuple[tuple[str, str], ...]:
    """(Architecture, draft inside its checkpoints) of every runtime."""
    files = sorted(_RUNTIMES.glob("*/drafts.toml"))
    return tuple(row for p in files for row in tomllib.loads(p.read_text("utf-8")).items())


@cache
def _targets() -> Mapping[str, str]:
    """Draft inside a checkpoint -> the first of the architectures that it is built for."""
    out = dict(_OWN)
    for named, draft in _inside():
        out.setdefault(draft, named)
    return out


def stored_with(architecture: str, registered: Collection[str]) -> str:
    """The draft inside checkpoints of an architecture; empty if it has none."""
    named = (draft for name, draft in _inside() if name == architecture)
    return next((draft for draft in named if draft in registered), "")


def target(architecture: str, registered: Collection[str]) -> str:
    """The architecture that a draft runs with; empty if unknown."""
    named = _targets().get(architecture, "")
    stem = _ENDING.sub("", architecture)
    tries = [named, *(stem + form for form in _FORMS if stem != architecture)]
    return next((name for name in tries if name in registered), "")


def is_of_target(parameter: str) -> bool:
    """Whether a draft has a parameter from its target where the checkpoint has none."""
    return bool(_OF_TARGET.search(parameter))
