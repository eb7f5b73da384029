"""Why a yes is not certain: a key that the class needs, or what another release was seen to do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from packaging.version import Version

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.model_config import NESTED_CONFIGS
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.judged import expected_for, seen_with_cache_scales
from ckptfix.runtimes.learned import settings, sizes
from ckptfix.runtimes.learned.doubts import never_without
from ckptfix.runtimes.learned.release_file import releases_in
from ckptfix.runtimes.loads import Answer, Reason
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.structure import Expected, Tree, class_reasons, learned_size_reasons
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

_AFTER_4: Final = re.compile(r"(?:[5-9]|[1-9][0-9])\.")
"""A release of transformers from 5 on."""
_WITH_NUM_EXPERTS: Final = frozenset({"qwen3_moe", "qwen3_vl_moe_text"})
"""Types of which transformers 4.57.6 reads `num_experts`, with a default, and 5 writes
`num_local_experts`."""

_HEAD_UNUSED: Final = "qwen2_5_vl"
"""Type whose `lm_head` vllm 0.15.0 and 0.17.1 leave unused with transformers 4.57.6, also where the
language model's config says that it is not tied."""


def later_stop(
    checkpoint: Checkpoint, family: Family, target: Target, classes: Sequence[str]
) -> str:
    """Why a yes of an older release is not certain, as a sentence; empty if it is.

    Values and sizes were tried on the classes of one release only, or a few: the newest of them
    counts. An older one may take what that refuses.

    Args:
        checkpoint: that loads as far as is known.
        family: how the release lays it out.
        target: the release.
        classes: that it builds, outermost first.
    """
    if why := unsettled(checkpoint, family, target, classes[0]):
        return why
    tried = max(_tried_releases(target.runtime), key=Version, default="")
    if not tried or Version(target.profile_version) >= Version(tried):
        return ""
    newest = Target(target.runtime, tried, tried)
    key = "later stop", newest, id(family), tuple(classes)  # families live as long as the program
    if key not in checkpoint.derived:
        found = _reasons(checkpoint, family, newest, classes)
        checkpoint.derived[key] = next(found, None)
    reason: Reason | None = checkpoint.derived[key]
    if reason is None:
        return ""
    return f"{newest} does not load it: {reason.cause or reason}; this release was not tried"


def unless_lacking(verdict: TargetVerdict, expected: Expected) -> TargetVerdict:
    """The verdict; unknown instead of yes without a key that the class was seen to need."""
    if not expected.lacks or verdict.loads.answer is not Answer.YES:
        return verdict
    return TargetVerdict(verdict.target, never_without(expected.lacks[0]))


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
    if takes_it or not isinstance(written, str):
        return ""
    key = next(_read_differently(values), "") if _AFTER_4.match(written) else ""
    by = f"transformers {visible(written)} wrote {key} in its config.json, and this release"
    return f"{by} takes none from 5 on, which may read that differently" if key else ""


def _read_differently(values: Mapping[str, Any]) -> Iterator[str]:
    """Keys of a config that transformers 5 wrote which mean something else before it."""
    languages = [part for key, _ in NESTED_CONFIGS if isinstance(part := values.get(key), dict)]
    for part in (values, *languages):
        rotary = part.get("rope_parameters")
        if isinstance(rotary, dict) and any(isinstance(each, dict) for each in rotary.values()):
            yield "rope_parameters"
        if "topk_group" in part and part["topk_group"] is None:
            yield "topk_group"
        if part.get("model_type") in _WITH_NUM_EXPERTS and "num_experts" not in part:
            yield "num_local_experts"
    if "layers_block_type" in values and "hybrid_override_pattern" not in values:
        yield "layers_block_type"
    tied = "tie_word_embeddings"
    is_unused = values.get("model_type") == _HEAD_UNUSED
    if tied in values and (is_unused or any(tied not in part for part in languages)):
        yield tied


def unsettled(checkpoint: Checkpoint, family: Family, target: Target, architecture: str) -> str:
    """Why it is not known what a release between two does with scales of a KV cache, or empty."""
    known = seen_with_cache_scales(checkpoint, family, target, architecture)
    if known is None or not known.unsettled_scales:
        return ""
    return (
        "what its class does with scales of a KV cache changed between the releases that were "
        "learned"
    )


def _tried_releases(runtime: str) -> Iterator[str]:
    for folder in (settings.FOLDER, sizes.FOLDER):
        yield from releases_in(runtime, folder)


def _reasons(
    checkpoint: Checkpoint, family: Family, newest: Target, classes: Sequence[str]
) -> Iterator[Reason]:
    expected = expected_for(checkpoint, family, newest, classes, has_config=True)
    tree = Tree(checkpoint, family, expected, has_config=True, kv_cache=True)
    return chain(class_reasons(checkpoint, expected), learned_size_reasons(tree))
