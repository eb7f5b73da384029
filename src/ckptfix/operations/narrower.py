"""Fewer releases to plan a rewrite for.

A rewrite for every known release is refused if it breaks one of them, also an old one that nobody
serves with. What is right for a release that counts is then found by planning for those alone.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from packaging.version import Version

from ckptfix.runtimes.targets import Target

MOST_ALONE: Final = 4
"""More requested releases than this are represented by the newest of each runtime: each costs
a plan."""


def narrower(
    requested: Sequence[Target], counted: Iterable[Target]
) -> tuple[tuple[Target, ...], ...]:
    """The releases of each plan to try after that for all of them, in order.

    Those that count together, then one at a time. Of many requested ones, the newest of each
    runtime.

    Args:
        requested: by the user; empty for every known release.
        counted: the requested ones, or the newest of each runtime.
    """
    few = tuple(counted)
    if len(few) > MOST_ALONE:
        runtimes = dict.fromkeys(target.runtime for target in few)
        few = tuple(
            max((t for t in few if t.runtime == runtime), key=lambda t: Version(t.version))
            for runtime in runtimes
        )
    scopes = dict.fromkeys((few, *((target,) for target in few)))
    return tuple(scope for scope in scopes if scope and scope != tuple(requested))
