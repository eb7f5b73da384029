"""Metadata bound to a release's model classes, ready for lookups."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from operator import eq
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.common.entries import (
    Entry,
    EntryTable,
    Resolved,
    Step,
    entry_steps,
    find_entry,
)
from ckptfix.runtimes.common.exclusion import Exclusion
from ckptfix.runtimes.common.lookup_rules import LookupRules, MappingRules
from ckptfix.runtimes.common.mapping import map_config_name, split_wildcard
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.patterns import (
    Excluded,
    LookupDisagreementError,
    Packed,
    Pattern,
    PatternTable,
)
from ckptfix.runtimes.profile import ArchitectureProfile, ConfigMapper, RuntimeProfile
from ckptfix.text import visible

_WRAPPER: Final = "language_model."
_UNMAPPED: Final = MappingRules(())

MakeExclusion = Callable[[PatternTable, Packed], Exclusion]


class Resolution(Struct, frozen=True):
    """What a runtime finds for one module."""

    name: str
    excluded: Excluded | None
    exclusion_error: str
    """Not empty: the runtime raises when it checks whether the module is excluded."""
    resolved: Resolved | None
    """The entry of quantized_layers, whether or not the module is excluded."""
    algo_error: str
    """Not empty: the runtime raises when it looks for the entry."""

    @property
    def quant_algo(self) -> str | None:
        """The quant_algo of the entry, upper case."""
        return self.resolved.entry.quant_algo if self.resolved else None


class BoundMetadata(Struct, frozen=True):
    """Entries and patterns as a release stores them after the model classes have mapped them."""

    rules: LookupRules
    table: EntryTable
    patterns: PatternTable
    packed: Packed
    exclusion: Exclusion

    @property
    def excludes(self) -> bool:
        """True if there is a pattern."""
        return bool(self.patterns.patterns)

    def resolve(self, name: str) -> Resolution:
        """What the release finds for a runtime name."""
        return self._resolution(name, self.exclusion.find, *self._entry(name))

    def resolve_module(self, name: str, *, experts: bool) -> Resolution:
        """What the release finds when it builds the module of this name."""
        resolved, error = self._entry(name)
        if resolved is not None and not resolved.entry.quant_algo:
            error = f"{visible(resolved.entry.original)} has no quant_algo"
        find = partial(self.exclusion.find_for_layer, experts=experts)
        return self._resolution(name, find, resolved, error)

    def _entry(self, name: str) -> tuple[Resolved | None, str]:
        """The entry that decides, or why the release raises."""
        if not self.table.entries:
            return None, ""
        try:
            return find_entry(self.rules, self.table, self.packed, name), ""
        except LookupDisagreementError as error:
            return None, str(error)

    def _resolution(
        self,
        name: str,
        find: Callable[[str], Excluded | None],
        resolved: Resolved | None,
        algo_error: str,
    ) -> Resolution:
        try:
            return Resolution(name, find(name), "", resolved, algo_error)
        except LookupDisagreementError as error:
            return Resolution(name, None, str(error), resolved, algo_error)

    def steps(self, name: str) -> tuple[Step, ...]:
        """The steps to the entry of a runtime name; empty if the release raises."""
        try:
            return entry_steps(self.rules, self.table, self.packed, name)
        except LookupDisagreementError:
            return ()


def bind(  # noqa: PLR0913 - options are keyword-only
    rules: LookupRules,
    make_exclusion: MakeExclusion,
    profile: RuntimeProfile,
    architectures: Sequence[str],
    entries: Mapping[str, str],
    excludes: Sequence[str],
    *,
    added_packed: Packed = MappingProxyType({}),
    mappers: tuple[ConfigMapper, ...] | None = None,
) -> BoundMetadata:
    """Apply a release's mappers and packed tables to the metadata.

    Args:
        rules: how the release looks names up.
        make_exclusion: how it applies patterns, given them and the packed tables.
        profile: the release.
        architectures: the outer model class, then the inner ones that it builds.
        entries: name -> quant_algo, in the order of quantized_layers; empty where it has none.
        excludes: the exclude patterns, in order.
        added_packed: what the classes add to their packed tables while they are built.
        mappers: the mappers applied to the names, where they are known; None: those of the classes.

    Raises:
        CkptfixError: the release does not register the outer architecture.
    """
    names = bind_names(rules, profile, architectures, added_packed=added_packed)
    applied = names.mappers if mappers is None else mappers
    mapping = _that_counts(rules.mapping, applied)
    table, patterns = _mapped(mapping, applied, tuple(entries.items()), tuple(excludes))
    packed = names.packed
    return BoundMetadata(rules, table, patterns, packed, make_exclusion(patterns, packed))


def bind_names(
    rules: LookupRules,
    profile: RuntimeProfile,
    architectures: Sequence[str],
    *,
    added_packed: Packed = MappingProxyType({}),
) -> BoundNames:
    """The mappers and packed tables that are applied to the metadata.

    Args:
        rules: how the release looks names up.
        profile: the release.
        architectures: the outer model class, then the inner ones that it builds.
        added_packed: what the classes add to their packed tables while they are built.

    Raises:
        CkptfixError: the release does not register the outer architecture.
    """
    classes = _classes(rules, profile, architectures)
    packed: dict[str, tuple[str, ...]] = {}
    for model_class in classes:
        packed.update(model_class.packed_modules or {})
    packed.update(added_packed)
    return BoundNames(rules, tuple(c.mapper for c in classes if c.mapper is not None), packed)


def _that_counts(mapping: MappingRules, mappers: Sequence[ConfigMapper]) -> MappingRules:
    """The same without empty mappers, so that releases with the same mapping are equal."""
    if not mappers:
        return _UNMAPPED
    kinds = tuple(kind for kind in mapping.kinds if any(getattr(m, kind) for m in mappers))
    rules = (rule for mapper in mappers for kind in kinds for rule in getattr(mapper, kind))
    deletes = mapping.none_rules_delete and any(new is None for _, new in rules)
    return replace(mapping, kinds=kinds, none_rules_delete=deletes)


@lru_cache(maxsize=8)  # most releases map the names to the same ones
def _mapped(
    mapping: MappingRules,
    mappers: tuple[ConfigMapper, ...],
    entries: tuple[tuple[str, str], ...],
    excludes: tuple[str, ...],
) -> tuple[EntryTable, PatternTable]:
    declared = _as_declared(entries, excludes)
    table, patterns = declared[0].entries, declared[1].patterns
    for mapper in mappers:
        table = _map_entries(mapping, mapper, table)
        patterns = _map_patterns(mapping, mapper, patterns)
    return (
        declared[0] if table is declared[0].entries else EntryTable(table),
        declared[1] if patterns == declared[1].patterns else PatternTable(patterns),
    )


@lru_cache(maxsize=2)
def _as_declared(
    entries: tuple[tuple[str, str], ...], excludes: tuple[str, ...]
) -> tuple[EntryTable, PatternTable]:
    """Indexed once for all releases that change no name."""
    table = {name: Entry(name, name, algo.upper()) for name, algo in entries}
    return EntryTable(table), PatternTable(tuple(Pattern(text, text) for text in excludes))


def _classes(
    rules: LookupRules, profile: RuntimeProfile, architectures: Sequence[str]
) -> list[ArchitectureProfile]:
    if not architectures or architectures[0] not in profile.architectures:
        outer = visible(architectures[0]) if architectures else "no architecture"
        raise CkptfixError(f"{outer}: not registered in {profile.runtime} {profile.version}")
    counted = architectures if rules.inner_classes_count else architectures[:1]
    return [profile.architectures[name] for name in counted if name in profile.architectures]


def _map_entries(
    mapping: MappingRules, mapper: ConfigMapper, entries: Mapping[str, Entry]
) -> Mapping[str, Entry]:
    names = [map_config_name(mapping, mapper, name) for name in entries]
    if all(map(eq, names, entries)):
        return entries
    mapped: dict[str, Entry] = {}
    for name, entry in zip(names, entries.values(), strict=True):
        if name is not None:
            # Of two entries with one new name, the last one wins, at the position of the first.
            mapped[name] = Entry(name, entry.original, entry.quant_algo)
    return mapped


def _map_patterns(
    mapping: MappingRules, mapper: ConfigMapper, patterns: Sequence[Pattern]
) -> tuple[Pattern, ...]:
    mapped: list[Pattern] = []
    for pattern in patterns:
        texts = split_wildcard(pattern.text) if mapping.splits_wildcards else (pattern.text,)
        for text in texts:
            name = map_config_name(mapping, mapper, text)
            if name is None:
                continue
            mapped.append(Pattern(name, pattern.original))
            if mapping.adds_unwrapped and name.startswith(_WRAPPER):
                mapped.append(Pattern(name.removeprefix(_WRAPPER), pattern.original))
    return tuple(mapped)
