"""What stops the newest learned release, and may stop an older one of which it was not tried."""

from collections.abc import Iterator, Sequence
from itertools import chain

from packaging.version import Version

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.judged import expected_for
from ckptfix.runtimes.learned.store import learned_releases
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure import Tree, class_reasons, learned_size_reasons
from ckptfix.runtimes.targets import Target


def later_stop(
    checkpoint: Checkpoint, family: Family, target: Target, classes: Sequence[str]
) -> str:
    """Why a yes of an older release is not certain, as a sentence; empty if it is.

    Values and sizes were tried on the classes of the newest learned release only. An older one may
    take what that refuses.

    Args:
        checkpoint: that loads as far as is known.
        family: how the release lays it out.
        target: the release.
        classes: that it builds, outermost first.
    """
    known = learned_releases(target.runtime)
    if not known or Version(target.profile_version) >= Version(known[-1]):
        return ""
    newest = Target(target.runtime, known[-1], known[-1])
    key = "later stop", newest, id(family), tuple(classes)  # families live as long as the program
    if key not in checkpoint.derived:
        found = _reasons(checkpoint, family, newest, classes)
        checkpoint.derived[key] = next(found, None)
    reason: Reason | None = checkpoint.derived[key]
    if reason is None:
        return ""
    return f"{newest} does not load it: {reason.cause or reason}; this release was not tried"


def _reasons(
    checkpoint: Checkpoint, family: Family, newest: Target, classes: Sequence[str]
) -> Iterator[Reason]:
    expected = expected_for(checkpoint, family, newest, classes, has_config=True)
    tree = Tree(checkpoint, family, expected, has_config=True, kv_cache=True)
    return chain(class_reasons(checkpoint, expected), learned_size_reasons(tree))
