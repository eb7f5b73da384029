"""What a release with transformers before 5 does not read as written, so that a yes is doubted."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.model_config import NESTED_CONFIGS
from ckptfix.runtimes.config_classes import has_own_code
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import facts_of, own_facts
from ckptfix.text import visible

_AFTER_4: Final = re.compile(r"(?:[5-9]|[1-9][0-9])\.")
"""A release of transformers from 5 on."""


def unread_type(checkpoint: Checkpoint, target: Target) -> str:
    """Why a yes is not certain for a type that only transformers 5 knows, or empty.

    Without code of the checkpoint that reads it, and without a class of the runtime, the release
    stops with the transformers that it asks for. Some serve it with a newer one all the same, as
    Gemma 4 on vLLM 0.19.0 (vllm-project/vllm PR 39256).
    """
    values = checkpoint.config_values or {}
    kind = values.get("model_type")
    if not isinstance(kind, str) or checkpoint.is_mistral or has_own_code(values):
        return ""
    if runtime_named(target.runtime).takes_transformers_5(target.profile_version):
        return ""
    own = facts_of(target.runtime).found("model_types.toml").get("types", ())
    unread = (each for each in _looked_up(values, kind) if each not in own)
    unknown = next((each for each in unread if each in _only_since_5()), "")
    if not unknown:
        return ""
    return (
        "the transformers that it asks for, before 5, does not know model_type "
        f"{visible(unknown)}, and config.json names no class in auto_map"
    )


def _looked_up(values: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The types whose classes it looks up: that of the model, and of its language model."""
    yield kind
    if kind in _facts()["finds_inner_class"]["types"]:
        inner = (part.get("model_type") for part in _languages(values))
        yield from (each for each in inner if isinstance(each, str))


def written_later(checkpoint: Checkpoint, target: Target) -> str:
    """Why a yes is not certain for what transformers 5 wrote, which 4.57 reads differently.

    vllm 0.18.0 with 4.57.6 stops at rotary settings by kind of layer (Gemma 3) and at a null
    `topk_group` (DeepSeek V2), builds 128 experts for a `num_local_experts` of 8 (Qwen3 MoE), and
    takes whether heads are tied from the language model's config alone, which has a default of its
    own there (Qwen2.5-VL, Qwen3-VL). Nemotron-H has `hybrid_override_pattern` there.
    """
    values = checkpoint.config_values or {}
    written = values.get("transformers_version")
    takes_it = runtime_named(target.runtime).takes_transformers_5(target.profile_version)
    if takes_it:
        return ""
    if target.runtime in _facts()["rotary"]["needs_rope_scaling"] and _lacks_scaling(values):
        return (
            "it reads rope_scaling, and config.json has rope_parameters with mrope_section instead"
        )
    if not isinstance(written, str):
        return ""
    key = next(_read_differently(values), "") if _AFTER_4.match(written) else ""
    by = f"transformers {visible(written)} wrote {key} in its config.json, and this release"
    return f"{by} takes none from 5 on, which may read that differently" if key else ""


def _languages(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for key, _ in NESTED_CONFIGS if isinstance(part := values.get(key), dict)]


def _lacks_scaling(values: Mapping[str, Any]) -> bool:
    """Whether rotary settings with `mrope_section` stand under the name of transformers 5 alone."""
    return any(
        isinstance(rotary := part.get("rope_parameters"), dict)
        and "mrope_section" in rotary
        and not isinstance(part.get("rope_scaling"), dict)
        for part in (values, *_languages(values))
    )


def _read_differently(values: Mapping[str, Any]) -> Iterator[str]:
    """Keys of a config that transformers 5 wrote which mean something else before it."""
    languages = _languages(values)
    for part in (values, *languages):
        rotary = part.get("rope_parameters")
        if isinstance(rotary, dict) and any(isinstance(each, dict) for each in rotary.values()):
            yield "rope_parameters"
        if "topk_group" in part and part["topk_group"] is None:
            yield "topk_group"
        if (
            part.get("model_type") in _facts()["experts"]["default_num_experts"]
            and "num_experts" not in part
        ):
            yield "num_local_experts"
    if "layers_block_type" in values and "hybrid_override_pattern" not in values:
        yield "layers_block_type"
    tied = "tie_word_embeddings"
    is_unused = values.get("model_type") in _facts()["head"]["unused"]
    if tied in values and (is_unused or any(tied not in part for part in languages)):
        yield tied


@cache
def _only_since_5() -> frozenset[str]:
    return frozenset(_facts()["only_since_5"])


def _facts() -> Mapping[str, Any]:
    return own_facts("before_transformers_5.toml")
