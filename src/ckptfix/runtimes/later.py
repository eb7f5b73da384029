"""Why a yes is not certain: a key that the class needs, or what another release was seen to do."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace
from packaging.version import Version

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.cache_scales import seen_with_cache_scales
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.judged import expected_for
from ckptfix.runtimes.learned import lists, settings, sizes
from ckptfix.runtimes.learned.doubts import never_without
from ckptfix.runtimes.learned.release_file import releases_in
from ckptfix.runtimes.loads import Answer, Reason
from ckptfix.runtimes.structure import (
    Expected,
    Tree,
    class_reasons,
    learned_size_reasons,
    list_reasons,
    structure_reasons,
)
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import own_facts, rows_of
from ckptfix.text import visible


def later_stop(
    checkpoint: Checkpoint,
    family: Family,
    target: Target,
    classes: Sequence[str],
    takes: frozenset[str] = frozenset(),
) -> str:
    """Why a yes of an older release is not certain, as a sentence; empty if it is.

    Values and sizes were tried on the classes of one release only, or a few: the newest of them
    counts. An older one may take what that refuses. The same holds for numbers that config.json
    lacks, which its config class has by default.

    Args:
        checkpoint: that loads as far as is known.
        family: how the release lays it out.
        target: the release.
        classes: that it builds, outermost first.
        takes: as in `Tree`, of the method that reads the metadata.
    """
    if why := unsettled(checkpoint, family, target, classes[0]):
        return why
    tried = max(_tried_releases(target.runtime), key=Version, default="")
    if not tried or Version(target.profile_version) >= Version(tried):
        return ""
    newest = Target(target.runtime, tried, tried)
    expected = expected_for(checkpoint, family, newest, classes, has_config=True)
    tree = Tree(checkpoint, family, expected, has_config=True, kv_cache=True, takes=takes)
    reason = tree.once("later stop", lambda: next(_reasons(tree), None))
    if reason is None:
        return ""
    return f"{newest} does not load it: {reason.cause or reason}; this release was not tried"


def _sized_otherwise(values: Mapping[str, Any], target: Target, architecture: str) -> str:
    """Why sizes are not certain that an older class takes from another key, or empty."""
    rules = rows_of(own_facts("older_sizes.toml")["rules"], target, [architecture])
    for size in chain.from_iterable(rule["sizes"] for rule in rules):
        key, of, times = size["key"], size["of"], size["times"]
        own, other = values.get(key), values.get(of, size.get("default"))
        if own is None or not isinstance(other, int) or size.get("unless", "") in values:
            continue
        if own != times * other:
            taken = f"{times} times {of}" if times > 1 else of
            if of not in values:
                return f"its class there takes {of} for {key}, which is {other:,} by default"
            return f"its class there takes {taken} for {key}, and config.json has another number"
    return ""


def unless_lacking(verdict: TargetVerdict, expected: Expected) -> TargetVerdict:
    """The verdict; unknown instead of yes where config.json may lack what the class needs."""
    if verdict.loads.answer is not Answer.YES:
        return verdict
    if expected.lacks:
        return TargetVerdict(verdict.target, never_without(expected.lacks[0]))
    if expected.foreign_type:
        given = visible(expected.foreign_type)
        why = f"model_type {given} of config.json is of another class, whose config may lack a key"
        return TargetVerdict(verdict.target, why)
    return verdict


def unsettled(checkpoint: Checkpoint, family: Family, target: Target, architecture: str) -> str:
    """Why it is not known what an older release does: with scales of a KV cache, with a size."""
    if why := _sized_otherwise(checkpoint.config_values or {}, target, architecture):
        return why
    known = seen_with_cache_scales(checkpoint, family, target, architecture)
    if known is None or not known.unsettled_scales:
        return ""
    return (
        "what its class does with scales of a KV cache changed between the releases that were "
        "learned"
    )


def _tried_releases(runtime: str) -> Iterator[str]:
    for folder in (settings.FOLDER, sizes.FOLDER, lists.FOLDER):
        yield from releases_in(runtime, folder)


def _reasons(tree: Tree) -> Iterator[Reason]:
    as_written = replace(tree, expected=replace(tree.expected, config_class=None))
    of_class = class_reasons(tree.checkpoint, tree.expected)
    if tree.config != as_written.config:
        return chain(of_class, structure_reasons(tree))
    return chain(of_class, learned_size_reasons(tree), list_reasons(tree))
