"""Which entry of quantized_layers a module gets."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

from ckptfix.runtimes.lookup.dialects import Dialect
from ckptfix.runtimes.lookup.patterns import BUILTIN_PACKED, LookupDisagreementError, Packed
from ckptfix.search.prefixes import FirstBelow


@dataclass(frozen=True)
class Entry:
    """An entry of quantized_layers after mapping."""

    name: str
    original: str
    """As it stands in the metadata."""
    quant_algo: str
    """Upper case, as the runtimes compare it."""


@dataclass(frozen=True)
class Resolved:
    """The entry that decides, and by which step."""

    how: str
    """`exact`, `other spelling`, `packed members`, `first entry below`, `sibling of experts`,
    `built-in packed members`."""
    entry: Entry


@dataclass(frozen=True)
class EntryTable:
    """All entries, indexed so that no lookup looks at all of them."""

    entries: Mapping[str, Entry]
    """In the order of the metadata: "first" is meant literally."""

    @cached_property
    def originals(self) -> frozenset[str]:
        """The names as they stand in the metadata."""
        return frozenset(entry.original for entry in self.entries.values())

    @cached_property
    def _in_order(self) -> tuple[tuple[Entry, ...], FirstBelow]:
        return tuple(self.entries.values()), FirstBelow(tuple(self.entries))

    def first_below(self, name: str) -> Entry | None:
        """The first entry below a dotted name."""
        entries, names = self._in_order
        first = names.first(f"{name}.")
        return None if first is None else entries[first]


def find_entry(dialect: Dialect, table: EntryTable, packed: Packed, name: str) -> Resolved | None:
    """The entry that a runtime takes for a module, None when it finds none.

    Raises:
        LookupDisagreementError: members of a packed module have different algorithms.
    """
    for find, _ in _STEPS:
        if resolved := find(dialect, table, packed, name):
            return resolved
    return None


@dataclass(frozen=True)
class Step:
    """One step of the way to an entry."""

    looked_for: tuple[str, ...]
    """Names; `x.*` for the first entry below `x`."""
    resolved: Resolved | None
    """What it found; the last step of a way that succeeds has one."""


def entry_steps(dialect: Dialect, table: EntryTable, packed: Packed, name: str) -> tuple[Step, ...]:
    """The way of `find_entry`, step by step; steps that this release does not have are left out.

    Raises:
        LookupDisagreementError: as `find_entry`.
    """
    steps = []
    for find, names in _STEPS:
        looked_for = tuple(dict.fromkeys(names(dialect, packed, name)))
        resolved = find(dialect, table, packed, name)
        if looked_for:
            steps.append(Step(looked_for, resolved))
        if resolved:
            break
    return tuple(steps)


def candidates(dialect: Dialect, name: str) -> tuple[str, ...]:
    """The name and the other spellings that the release tries, in order."""
    found = [name]
    if dialect.head_candidate and name.endswith(".lm_head"):
        found.append("lm_head")
    asked = next((old for old, _ in dialect.candidates if name.startswith(old)), None)
    found += [new + name[len(old) :] for old, new in dialect.candidates if old == asked]
    return tuple(dict.fromkeys(found))


def _direct(dialect: Dialect, table: EntryTable, _: Packed, name: str) -> Resolved | None:
    for candidate in candidates(dialect, name):
        if entry := table.entries.get(candidate):
            return Resolved("exact" if candidate == name else "other spelling", entry)
    return None


def _member_names(dialect: Dialect, packed: Packed, name: str) -> tuple[str, ...]:
    # A name without dots is its own parent here, as `rsplit` leaves it.
    members = packed.get(name.rpartition(".")[2])
    if not members:
        return ()
    bases = candidates(dialect, name.rsplit(".", 1)[0])
    return tuple(f"{base}.{member}" for base in bases for member in members)


def _members(dialect: Dialect, table: EntryTable, packed: Packed, name: str) -> Resolved | None:
    names = _member_names(dialect, packed, name)
    return _agreed("packed members", name, [e for n in names if (e := table.entries.get(n))])


def _agreed(how: str, name: str, found: list[Entry]) -> Resolved | None:
    algos = sorted({entry.quant_algo for entry in found})
    if len(algos) > 1:
        raise LookupDisagreementError(f"members of {name} have {' and '.join(algos)}")
    return Resolved(how, found[0]) if found else None


def _below(dialect: Dialect, table: EntryTable, _: Packed, name: str) -> Resolved | None:
    for candidate in candidates(dialect, name):
        if entry := table.first_below(candidate):
            return Resolved("first entry below", entry)
    return None


def _sibling_parent(dialect: Dialect, name: str) -> str | None:
    takes = dialect.experts_take_siblings and name.endswith(".experts")
    return name.removesuffix(".experts") if takes else None


def _siblings_of_experts(
    dialect: Dialect, table: EntryTable, _: Packed, name: str
) -> Resolved | None:
    parent = _sibling_parent(dialect, name)
    entry = table.first_below(parent) if parent else None
    return Resolved("sibling of experts", entry) if entry else None


def _builtin_names(dialect: Dialect, name: str) -> list[list[str]]:
    """Of each spelling, the members of a packed module that the release knows without a table."""
    members = BUILTIN_PACKED.get(name.rpartition(".")[2], ()) if dialect.builtin_packed else ()
    if not members:
        return []
    parents = [candidate.rsplit(".", 1)[0] for candidate in candidates(dialect, name)]
    return [[f"{parent}.{member}" for member in members] for parent in parents]


def _builtin_members(dialect: Dialect, table: EntryTable, _: Packed, name: str) -> Resolved | None:
    for names in _builtin_names(dialect, name):
        found = [entry for member in names if (entry := table.entries.get(member))]
        if resolved := _agreed("built-in packed members", name, found):
            return resolved
    return None


_Find = Callable[[Dialect, EntryTable, Packed, str], Resolved | None]
_Names = Callable[[Dialect, Packed, str], Iterable[str]]

_STEPS: Final[tuple[tuple[_Find, _Names], ...]] = (
    (_direct, lambda dialect, _, name: candidates(dialect, name)),
    (_members, _member_names),
    (_below, lambda dialect, _, name: [f"{n}.*" for n in candidates(dialect, name)]),
    (
        _siblings_of_experts,
        lambda dialect, _, name: [f"{p}.*"] if (p := _sibling_parent(dialect, name)) else [],
    ),
    (_builtin_members, lambda dialect, _, name: chain(*_builtin_names(dialect, name))),
)
"""In the order of the runtimes: how each looks, and the names that it looks for."""
