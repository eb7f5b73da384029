"""What need not be built: classes that do alike in the learned releases before and after.

A class whose table and heads are the same before and after is taken to do the same between. Its
record names the two releases, so that a reader sees that it was not built.
"""

from collections.abc import Iterator, Sequence, Set
from itertools import groupby

from msgspec.structs import replace
from packaging.version import Version

from ckptfix.runtimes.learned.agreed import agreed_origin
from ckptfix.runtimes.learned.records import ArchitectureRecord, ReleaseRecord
from ckptfix.runtimes.learned.store import learned_releases, release
from ckptfix.runtimes.profile_store import known_releases, load_profile


def alike(runtime: str, version: str) -> tuple[dict[str, ArchitectureRecord], dict[str, str]]:
    """The records of the classes that do alike on both sides, and why others fail on both.

    Both are empty for a release older or newer than all that were learned, or without a profile.
    """
    around = _around(runtime, version)
    if around is None or version not in known_releases(runtime):
        return {}, {}
    registered = load_profile(runtime, version).architectures.keys()
    failed = {name: why for name, why in around[1].failed.items() if name in around[0].failed}
    return dict(_records(*around, registered)), {n: failed[n] for n in failed.keys() & registered}


def to_build(runtime: str, version: str, names: Set[str]) -> tuple[str, ...]:
    """Those of the architectures `names` that are to be built."""
    records, failed = alike(runtime, version)
    return tuple(sorted(names - records.keys() - failed.keys()))


def completed(built: ReleaseRecord) -> ReleaseRecord:
    """A release with what it does as its neighbours do; what was built goes first."""
    records, failed = alike(built.runtime, built.version)
    architectures = {**records, **built.architectures}
    for name in built.failed:
        architectures.pop(name, None)
    failed = {name: why for name, why in failed.items() if name not in architectures}
    return replace(built, architectures=architectures, failed={**failed, **built.failed})


def by_halves(every: Sequence[str], learned: Set[str] | Sequence[str]) -> list[str]:
    """The releases that were not learned, each in the middle of the longest row of them.

    At either end the outermost goes first: nothing is known of both sides of it. So most releases
    have near neighbours when their turn comes.

    Args:
        every: releases, oldest first.
        learned: those of them that were.
    """
    done, order = set(learned), []
    while rows := list(_rows(every, done)):
        start, end = max(rows, key=lambda row: (row[1] - row[0], row[1]))
        at = end - 1 if end == len(every) else start if start == 0 else (start + end) // 2
        order.append(every[at])
        done.add(every[at])
    return order


def _rows(every: Sequence[str], done: Set[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each row of releases that are not done."""
    for is_missing, row in groupby(enumerate(every), key=lambda one: one[1] not in done):
        places = [at for at, _ in row]
        if is_missing:
            yield places[0], places[-1] + 1


def _around(runtime: str, version: str) -> tuple[ReleaseRecord, ReleaseRecord] | None:
    known = [one for one in learned_releases(runtime) if one != version]
    older = [one for one in known if Version(one) < Version(version)]
    newer = [one for one in known if Version(one) > Version(version)]
    return (release(runtime, older[-1]), release(runtime, newer[0])) if older and newer else None


def _records(
    older: ReleaseRecord, newer: ReleaseRecord, registered: Set[str]
) -> Iterator[tuple[str, ArchitectureRecord]]:
    for name in sorted(registered & older.architectures.keys() & newer.architectures.keys()):
        before, after = older.architectures[name], newer.architectures[name]
        if (before.table, before.heads) == (after.table, after.heads):
            built = (_built_in(older, before)[0], _built_in(newer, after)[-1])
            yield name, replace(agreed_origin(before, after), alike=built)


def _built_in(one: ReleaseRecord, record: ArchitectureRecord) -> tuple[str, ...]:
    return record.alike or (one.version,)
