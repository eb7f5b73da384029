"""Metadata bound to a release's model classes, ready to be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.lookup.dialects import DIALECTS, Dialect, dialect_of
from ckptfix.runtimes.lookup.exclusion import find_exclusion, find_module_exclusion
from ckptfix.runtimes.lookup.mapping import map_config_name, split_wildcard
from ckptfix.runtimes.lookup.patterns import (
    Excluded,
    LookupDisagreementError,
    Packed,
    Pattern,
    PatternTable,
)
from ckptfix.runtimes.lookup.quant_algo import (
    Entry,
    EntryTable,
    Resolved,
    Step,
    entry_steps,
    find_entry,
)
from ckptfix.runtimes.lookup.regexes import RegexTable
from ckptfix.runtimes.profile import ArchitectureProfile, ConfigMapper, RuntimeProfile
from ckptfix.text import visible

_WRAPPER = "language_model."


@dataclass(frozen=True)
class Resolution:
    """What a runtime finds for one module."""

    name: str
    excluded: Excluded | None
    exclusion_error: str
    """Not empty: the runtime raises when it asks whether the module is excluded."""
    resolved: Resolved | None
    """The entry of quantized_layers, whether or not the module is excluded."""
    algo_error: str
    """Not empty: the runtime raises when it looks for the entry."""

    @property
    def quant_algo(self) -> str | None:
        """The quant_algo of the entry, upper case."""
        return self.resolved.entry.quant_algo if self.resolved else None


@dataclass(frozen=True)
class BoundMetadata:
    """Entries and patterns as a release holds them once the model classes have mapped them."""

    dialect: Dialect
    table: EntryTable
    patterns: PatternTable
    regexes: RegexTable
    packed: Packed

    def resolve(self, name: str) -> Resolution:
        """What the release finds for a runtime name."""
        excluded, exclusion_error = None, ""
        resolved, algo_error = None, ""
        try:
            excluded = find_exclusion(self.dialect, self.patterns, self.regexes, self.packed, name)
        except LookupDisagreementError as error:
            exclusion_error = str(error)
        try:
            resolved = find_entry(self.dialect, self.table, self.packed, name)
        except LookupDisagreementError as error:
            algo_error = str(error)
        return Resolution(name, excluded, exclusion_error, resolved, algo_error)

    def resolve_module(self, name: str, *, experts: bool) -> Resolution:
        """What the release finds when it builds the module of this name."""
        found = self.resolve(name)
        excluded, error, algo_error = None, "", found.algo_error
        try:
            excluded = find_module_exclusion(
                self.dialect, self.patterns, self.regexes, self.packed, name, experts=experts
            )
        except LookupDisagreementError as disagreement:
            error = str(disagreement)
        if found.resolved is not None and not found.resolved.entry.quant_algo:
            algo_error = f"{visible(found.resolved.entry.original)} has no quant_algo"
        return replace(found, excluded=excluded, exclusion_error=error, algo_error=algo_error)

    def steps(self, name: str) -> tuple[Step, ...]:
        """The way to the entry of a runtime name; empty where the release raises."""
        try:
            return entry_steps(self.dialect, self.table, self.packed, name)
        except LookupDisagreementError:
            return ()


def bind(
    profile: RuntimeProfile,
    architectures: Sequence[str],
    entries: Mapping[str, str],
    excludes: Sequence[str],
) -> BoundMetadata:
    """Apply a release's mappers and packed tables to the metadata.

    Args:
        profile: the release.
        architectures: the outer model class, then the inner ones that it builds.
        entries: name -> quant_algo, in the order of quantized_layers; empty where it has none.
        excludes: the exclude patterns, in order.

    Raises:
        CkptfixError: the release does not register the outer architecture.
    """
    dialect = dialect_of(profile.runtime, profile.version)
    classes = _classes(dialect, profile, architectures)
    packed: dict[str, tuple[str, ...]] = {}
    for model_class in classes:
        packed.update(model_class.packed_modules or {})
    mappers = tuple(c.mapper for c in classes if c.mapper is not None)
    like = _first_that_maps_so(dialect) if mappers else DIALECTS[0]
    tables = _mapped(like, mappers, tuple(entries.items()), tuple(excludes))
    return BoundMetadata(dialect, *tables, packed)


@cache
def _first_that_maps_so(dialect: Dialect) -> Dialect:
    """The first row whose mappers do the same to names."""
    return next(row for row in DIALECTS if row.mapping == dialect.mapping)


@lru_cache(maxsize=8)  # most releases map the names to the same ones
def _mapped(
    dialect: Dialect,
    mappers: tuple[ConfigMapper, ...],
    entries: tuple[tuple[str, str], ...],
    excludes: tuple[str, ...],
) -> tuple[EntryTable, PatternTable, RegexTable]:
    table = {n: Entry(n, n, algo.upper()) for n, algo in entries}
    patterns = tuple(Pattern(text, text) for text in excludes)
    for mapper in mappers:
        table = _map_entries(dialect, mapper, table)
        patterns = _map_patterns(dialect, mapper, patterns)
    indexed = PatternTable(patterns)
    return EntryTable(table), indexed, RegexTable(indexed)


def _classes(
    dialect: Dialect, profile: RuntimeProfile, architectures: Sequence[str]
) -> list[ArchitectureProfile]:
    if not architectures or architectures[0] not in profile.architectures:
        outer = visible(architectures[0]) if architectures else "no architecture"
        raise CkptfixError(f"{outer}: not registered in {profile.runtime} {profile.version}")
    counted = architectures if dialect.inner_classes_count else architectures[:1]
    return [profile.architectures[name] for name in counted if name in profile.architectures]


def _map_entries(
    dialect: Dialect, mapper: ConfigMapper, entries: Mapping[str, Entry]
) -> dict[str, Entry]:
    mapped: dict[str, Entry] = {}
    for entry in entries.values():
        name = map_config_name(dialect, mapper, entry.name)
        if name is not None:
            # Of two entries that meet, the last decides, in the place of the first.
            mapped[name] = Entry(name, entry.original, entry.quant_algo)
    return mapped


def _map_patterns(
    dialect: Dialect, mapper: ConfigMapper, patterns: Sequence[Pattern]
) -> tuple[Pattern, ...]:
    mapped: list[Pattern] = []
    for pattern in patterns:
        texts = split_wildcard(pattern.text) if dialect.splits_wildcards else (pattern.text,)
        for text in texts:
            name = map_config_name(dialect, mapper, text)
            if name is None:
                continue
            mapped.append(Pattern(name, pattern.original))
            if not dialect.inner_classes_count and name.startswith(_WRAPPER):
                mapped.append(Pattern(name.removeprefix(_WRAPPER), pattern.original))
    return tuple(mapped)
