"""Which entry of quantized_layers a module gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ckptfix.runtimes.lookup.dialects import Dialect
from ckptfix.runtimes.lookup.patterns import BUILTIN_PACKED, LookupDisagreementError, Packed


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
    def first_below(self) -> dict[str, Entry]:
        """Dotted ancestor -> the first entry below it."""
        found: dict[str, Entry] = {}
        for entry in self.entries.values():
            ancestor = entry.name
            while "." in ancestor:
                ancestor = ancestor.rpartition(".")[0]
                found.setdefault(ancestor, entry)
        return found


def find_entry(dialect: Dialect, table: EntryTable, packed: Packed, name: str) -> Resolved | None:
    """The entry that a runtime takes for a module, None when it finds none.

    Raises:
        LookupDisagreementError: members of a packed module have different algorithms.
    """
    return (
        _direct(dialect, table, name)
        or _members(dialect, table, packed, name)
        or _below(dialect, table, name)
        or _siblings_of_experts(dialect, table, name)
        or _builtin_members(dialect, table, name)
    )


def candidates(dialect: Dialect, name: str) -> tuple[str, ...]:
    """The name and the other spellings that the release tries, in order."""
    found = [name]
    if dialect.head_candidate and name.endswith(".lm_head"):
        found.append("lm_head")
    asked = next((old for old, _ in dialect.candidates if name.startswith(old)), None)
    found += [new + name[len(old) :] for old, new in dialect.candidates if old == asked]
    return tuple(dict.fromkeys(found))


def _direct(dialect: Dialect, table: EntryTable, name: str) -> Resolved | None:
    for candidate in candidates(dialect, name):
        if entry := table.entries.get(candidate):
            return Resolved("exact" if candidate == name else "other spelling", entry)
    return None


def _members(dialect: Dialect, table: EntryTable, packed: Packed, name: str) -> Resolved | None:
    # A name without dots is its own parent here, as `rsplit` leaves it.
    last, parent = name.rpartition(".")[2], name.rsplit(".", 1)[0]
    found = [
        entry
        for base in candidates(dialect, parent)
        for member in packed.get(last, ())
        if (entry := table.entries.get(f"{base}.{member}"))
    ]
    return _agreed("packed members", name, found)


def _agreed(how: str, name: str, found: list[Entry]) -> Resolved | None:
    algos = sorted({entry.quant_algo for entry in found})
    if len(algos) > 1:
        raise LookupDisagreementError(f"members of {name} have {' and '.join(algos)}")
    return Resolved(how, found[0]) if found else None


def _below(dialect: Dialect, table: EntryTable, name: str) -> Resolved | None:
    for candidate in candidates(dialect, name):
        if entry := table.first_below.get(candidate):
            return Resolved("first entry below", entry)
    return None


def _siblings_of_experts(dialect: Dialect, table: EntryTable, name: str) -> Resolved | None:
    if not dialect.experts_take_siblings or not name.endswith(".experts"):
        return None
    entry = table.first_below.get(name.removesuffix(".experts"))
    return Resolved("sibling of experts", entry) if entry else None


def _builtin_members(dialect: Dialect, table: EntryTable, name: str) -> Resolved | None:
    members = BUILTIN_PACKED.get(name.rpartition(".")[2], ())
    if not dialect.builtin_packed:
        return None
    for candidate in candidates(dialect, name):
        parent = candidate.rsplit(".", 1)[0]
        found = [e for member in members if (e := table.entries.get(f"{parent}.{member}"))]
        if resolved := _agreed("built-in packed members", name, found):
            return resolved
    return None
