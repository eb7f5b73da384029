"""Neighbouring releases that fare alike, as one."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from packaging.version import Version

from ckptfix.runtimes.verdict import TargetVerdict

State = TypeVar("State", bound=Hashable)


def runs_of_releases(
    states: Iterable[tuple[TargetVerdict, State]],
) -> Iterator[tuple[list[TargetVerdict], State]]:
    """Neighbours of one runtime in the same state, in the order given."""
    for (_, state), run in groupby(states, key=lambda s: (s[0].target.runtime, s[1])):
        yield [verdict for verdict, _ in run], state


def release_range(verdicts: Sequence[TargetVerdict]) -> str:
    """`vllm 0.20.0 to 0.33.0`, older first."""
    targets = [verdict.target for verdict in verdicts]
    if len(targets) == 1:
        return str(targets[0])
    ends = sorted((targets[0], targets[-1]), key=lambda target: Version(target.version))
    return f"{ends[0]} to {str(ends[1]).partition(' ')[2]}"
