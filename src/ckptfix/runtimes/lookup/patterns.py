"""Patterns of the exclude list, and why one of them excludes a module."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Packed = Mapping[str, tuple[str, ...]]
"""Packed module -> its members, by the last part of their names."""

BUILTIN_PACKED: Final[Packed] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}


class LookupDisagreementError(Exception):
    """The runtime raises: members of a packed module are treated differently."""


@dataclass(frozen=True)
class Pattern:
    """A pattern after mapping."""

    text: str
    original: str
    """As it stands in the metadata."""


@dataclass(frozen=True)
class Excluded:
    """Why a module is excluded."""

    how: str
    """`exact`, `packed members`, `substring`, `wildcard`, `experts`, `path part`, ..."""
    pattern: Pattern


FindPattern = Callable[[str], Pattern | None]


def by_members(name: str, members: Sequence[str], find: FindPattern) -> Excluded | None:
    """Exclusion of a packed module through its members.

    Raises:
        LookupDisagreementError: some members are excluded and some are not.
    """
    last = name.rpartition(".")[2]
    # Every occurrence is replaced, as the runtimes do, not only the last part.
    found = [find(name.replace(last, member)) for member in members]
    hits = [pattern for pattern in found if pattern is not None]
    if hits and len(hits) < len(found):
        raise LookupDisagreementError(f"some but not all members of {name} are excluded")
    return Excluded("packed members", hits[0]) if hits else None


def first(patterns: Sequence[Pattern], fits: Callable[[str], bool]) -> Pattern | None:
    """The first pattern that fits."""
    return next((pattern for pattern in patterns if fits(pattern.text)), None)
