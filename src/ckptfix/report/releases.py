"""Neighbouring releases with equal results, as one."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from packaging.version import Version

from ckptfix.operations.checked import ReleaseAnswer
from ckptfix.runtimes.targets import Target

State = TypeVar("State", bound=Hashable)


def runs_of_releases(
    states: Iterable[tuple[Target, State]],
) -> Iterator[tuple[list[Target], State]]:
    """Neighbours of one runtime in the same state, in the order given."""
    for (_, _, state), run in groupby(states, key=lambda s: (s[0].runtime, s[0].installed, s[1])):
        yield [target for target, _ in run], state


def release_range(targets: Sequence[Target]) -> str:
    """`vllm 0.20.0 to 0.33.0`, older first."""
    if len(targets) == 1:
        return str(targets[0])
    ends = sorted((targets[0], targets[-1]), key=lambda target: Version(target.version))
    return f"{ends[0]} to {str(ends[1]).partition(' ')[2]}"


def ranges_where(answers: Iterable[ReleaseAnswer], those: Iterable[ReleaseAnswer]) -> str:
    """Some of the releases, as `vllm 0.20.0 to 0.33.0 and sglang 0.5.23`.

    Args:
        answers: of all releases, in the order in which they are shown.
        those: of some of them.
    """
    return target_ranges((a.target for a in answers), {answer.target for answer in those})


def target_ranges(every: Iterable[Target], those: Collection[Target]) -> str:
    """Some of all releases, in their order, written as in `ranges_where`."""
    runs = runs_of_releases((target, target in those) for target in every)
    return joined([release_range(releases) for releases, is_chosen in runs if is_chosen])


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
