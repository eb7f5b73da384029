"""Which entry of quantized_layers a module gets."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import chain
from typing import Final

from msgspec import Struct

from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.common.patterns import BUILTIN_PACKED, LookupDisagreementError, Packed
from ckptfix.search.prefixes import FirstBelow


class Entry(Struct, frozen=True):
    """An entry of quantized_layers after mapping."""

    name: str
    original: str
    """As spelled in the metadata."""
    quant_algo: str
    """Upper case, as the runtimes compare it."""


class Resolved(Struct, frozen=True):
    """The entry that decides, and by which step."""

    how: str
    """`exact`, `other spelling`, `packed members`, `first entry below`, `sibling of experts`,
    `built-in packed members`."""
    entry: Entry


class EntryTable(Struct, frozen=True, dict=True):
    """All entries, indexed so that no lookup scans all of them."""

    entries: Mapping[str, Entry]
    """In the order of the metadata; "first" means the first in this order."""

    @cached_property
    def originals(self) -> frozenset[str]:
        """The names as spelled in the metadata."""
        return frozenset(entry.original for entry in self.entries.values())

    @cached_property
    def algos(self) -> frozenset[str]:
        """Every quant_algo of an entry."""
        return frozenset(entry.quant_algo for entry in self.entries.values())

    @cached_property
    def _in_order(self) -> tuple[tuple[Entry, ...], FirstBelow]:
        return tuple(self.entries.values()), FirstBelow(tuple(self.entries))

    def first_below(self, name: str) -> Entry | None:
        """The first entry below a dotted name."""
        entries, names = self._in_order
        first = names.first(f"{name}.")
        return None if first is None else entries[first]


def find_entry(rules: LookupRules, table: EntryTable, packed: Packed, name: str) -> Resolved | None:
    """The entry that a runtime takes for a module, None when it finds none.

    Raises:
        LookupDisagreementError: members of a packed module have different algorithms.
    """
    for find, _ in _STEPS:
        if resolved := find(rules, table, packed, name):
            return resolved
    return None


class Step(Struct, frozen=True):
    """One step of the lookup of an entry."""

    looked_for: tuple[str, ...]
    """Names; `x.*` for the first entry below `x`."""
    resolved: Resolved | None
    """What it found; only the last step of a successful lookup has one."""


def entry_steps(
    rules: LookupRules, table: EntryTable, packed: Packed, name: str
) -> tuple[Step, ...]:
    """The steps of `find_entry`; steps that this release lacks are omitted.

    Raises:
        LookupDisagreementError: as `find_entry`.
    """
    steps = []
    for find, names in _STEPS:
        looked_for = tuple(dict.fromkeys(names(rules, packed, name)))
        resolved = find(rules, table, packed, name)
        if looked_for:
            steps.append(Step(looked_for, resolved))
        if resolved:
            break
    return tuple(steps)


def candidates(rules: LookupRules, name: str) -> tuple[str, ...]:
    """The name and the other spellings that the release tries, in order."""
    found = [name]
    if rules.head_candidate and name.endswith(".lm_head"):
        found.append("lm_head")
    prefix = next((old for old, _ in rules.candidates if name.startswith(old)), None)
    found += [new + name[len(old) :] for old, new in rules.candidates if old == prefix]
    return tuple(dict.fromkeys(found))


def _direct(rules: LookupRules, table: EntryTable, _: Packed, name: str) -> Resolved | None:
    if entry := table.entries.get(name):  # almost always, so the other spellings are not generated
        return Resolved("exact", entry)
    for candidate in candidates(rules, name)[1:]:
        if entry := table.entries.get(candidate):
            return Resolved("other spelling", entry)
    return None


def _member_names(rules: LookupRules, packed: Packed, name: str) -> tuple[str, ...]:
    # A name without dots is its own parent here, as `rsplit` leaves it.
    members = packed.get(name.rpartition(".")[2])
    if not members:
        return ()
    bases = candidates(rules, name.rsplit(".", 1)[0])
    return tuple(f"{base}.{member}" for base in bases for member in members)


def _members(rules: LookupRules, table: EntryTable, packed: Packed, name: str) -> Resolved | None:
    names = _member_names(rules, packed, name)
    return _agreed("packed members", name, [e for n in names if (e := table.entries.get(n))])


def _agreed(how: str, name: str, found: list[Entry]) -> Resolved | None:
    algos = sorted({entry.quant_algo for entry in found})
    if len(algos) > 1:
        raise LookupDisagreementError(f"members of {name} have {' and '.join(algos)}")
    return Resolved(how, found[0]) if found else None


def _below(rules: LookupRules, table: EntryTable, _: Packed, name: str) -> Resolved | None:
    for candidate in candidates(rules, name):
        if entry := table.first_below(candidate):
            return Resolved("first entry below", entry)
    return None


def _sibling_parent(rules: LookupRules, name: str) -> str | None:
    takes = rules.experts_take_siblings and name.endswith(".experts")
    return name.removesuffix(".experts") if takes else None


def _siblings_of_experts(
    rules: LookupRules, table: EntryTable, _: Packed, name: str
) -> Resolved | None:
    parent = _sibling_parent(rules, name)
    entry = table.first_below(parent) if parent else None
    return Resolved("sibling of experts", entry) if entry else None


def _builtin_names(rules: LookupRules, name: str) -> list[list[str]]:
    """For each spelling, the members of a packed module that the release knows without a table."""
    members = BUILTIN_PACKED.get(name.rpartition(".")[2], ()) if rules.builtin_packed else ()
    if not members:
        return []
    parents = [candidate.rsplit(".", 1)[0] for candidate in candidates(rules, name)]
    return [[f"{parent}.{member}" for member in members] for parent in parents]


def _builtin_members(
    rules: LookupRules, table: EntryTable, _: Packed, name: str
) -> Resolved | None:
    for names in _builtin_names(rules, name):
        found = [entry for member in names if (entry := table.entries.get(member))]
        if resolved := _agreed("built-in packed members", name, found):
            return resolved
    return None


_Find = Callable[[LookupRules, EntryTable, Packed, str], Resolved | None]
_Names = Callable[[LookupRules, Packed, str], Iterable[str]]

_STEPS: Final[tuple[tuple[_Find, _Names], ...]] = (
    (_direct, lambda rules, _, name: candidates(rules, name)),
    (_members, _member_names),
    (_below, lambda rules, _, name: [f"{n}.*" for n in candidates(rules, name)]),
    (
        _siblings_of_experts,
        lambda rules, _, name: [f"{p}.*"] if (p := _sibling_parent(rules, name)) else [],
    ),
    (_builtin_members, lambda rules, _, name: chain(*_builtin_names(rules, name))),
)
"""In the order of the runtimes: the kind of each lookup, and the names that it tries."""
