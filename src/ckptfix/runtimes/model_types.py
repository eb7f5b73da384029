"""Values of model_type that no config class of a release reads."""

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.facts import FACTS
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import facts_of
from ckptfix.text import visible


def unread_type(checkpoint: Checkpoint, target: Target) -> str:
    """Why a yes is not certain for a type that only transformers 5 knows, or empty.

    Without code of the checkpoint that reads it, and without a class of the runtime, the release
    stops with the transformers that it asks for. Some serve it with a newer one all the same, as
    Gemma 4 on vLLM 0.19.0 (vllm-project/vllm PR 39256).
    """
    values = checkpoint.config_values or {}
    kind = values.get("model_type")
    if not isinstance(kind, str) or checkpoint.is_mistral or _has_own_code(values):
        return ""
    if runtime_named(target.runtime).takes_transformers_5(target.profile_version):
        return ""
    own = facts_of(target.runtime).found("model_types.toml").get("types", ())
    if kind not in _only_since_5() or kind in own:
        return ""
    return (
        f"the transformers that it asks for, before 5, does not know model_type {visible(kind)}, "
        "and config.json names no class in auto_map"
    )


def _has_own_code(values: Mapping[str, Any]) -> bool:
    named = values.get("auto_map")
    return isinstance(named, dict) and "AutoConfig" in named


@cache
def _only_since_5() -> frozenset[str]:
    facts = tomllib.loads((FACTS / "model_types.toml").read_text("utf-8"))
    return frozenset(facts["only_since_5"])
