"""What classes build, or refuse, for some values of config.json, where the learner finds no rule.

It changes one value at a time: a sum of many numbers, a switch that its config lacks, or modules
that other values exchange for others are no expression of one. The files `<runtime>/by_config.toml`
were written by reading the releases.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from ckptfix.runtimes.by_config_tables import (
    ByConfigFile,
    JoinedSpec,
    MetadataSpec,
    ModulesSpec,
    SharedSpec,
    StopsSpec,
    When,
)
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.learned.lists import Lists, ListsRecord
from ckptfix.runtimes.learned.sizes import SizeRow
from ckptfix.runtimes.toml_folder import facts_of


class ByConfig(Struct, frozen=True, eq=False):
    """The same of one class; there is one object per release and architecture."""

    tables: ByConfigFile

    def sizes(self, flat: Mapping[str, Any]) -> Mapping[str, SizeRow]:
        """Name of a tensor, or that with masked numbers -> its sizes, for a config."""
        held = (spec.row for spec in self.tables.sizes if spec.holds(flat))
        return {name: row for row in held for name in row.names}

    def modules(self, flat: Mapping[str, Any]) -> Iterator[ModulesSpec]:
        """What layers have and lack with a config."""
        return (spec for spec in self.tables.modules if spec.holds(flat))

    def stops(self, flat: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[StopsSpec]:
        """The tables whose values a config has.

        Args:
            flat: path -> value.
            values: the config itself.
        """
        return (spec for spec in self.tables.stops if spec.stops(flat, values))

    def metadata(self, flat: Mapping[str, Any], method: str) -> Iterator[MetadataSpec]:
        """The tables that say that a quantizer's metadata stops the class.

        Args:
            flat: path -> value.
            method: `quant_method` of the metadata, `modelopt` for ModelOpt's.
        """
        refused = (spec for spec in self.tables.metadata if method not in spec.takes)
        return (spec for spec in refused if spec.holds(flat))

    def shared(self, flat: Mapping[str, Any]) -> Iterator[SharedSpec]:
        """Whose last layers use what earlier ones have."""
        return (spec for spec in self.tables.shared if spec.holds(flat))

    def joined(self, flat: Mapping[str, Any]) -> Iterator[JoinedSpec]:
        """Whose tensors the loader joins."""
        return (spec for spec in self.tables.joined if spec.holds(flat))

    def layers(self, flat: Mapping[str, Any]) -> tuple[str, int] | None:
        """How many layers there are, with the path of the number that says so.

        None if that is the usual one.
        """
        for spec in self.tables.counts:
            given = flat.get(spec.key)
            if spec.holds(flat) and type(given) is int:
                return spec.key, given // spec.for_each
        return None

    def lists(self, flat: Mapping[str, Any]) -> Lists | None:
        """How long lists are with a config; None if nothing is written of that."""
        held = [spec for spec in self.tables.lists if spec.holds(flat)]
        if not held:
            return None
        counts = {spec.count: spec.names for spec in held}
        unread = {name: spec.unread for spec in held for name in spec.names if spec.unread}
        return Lists(ListsRecord(held[0].source, {}, counts, unread=unread))


_EVERY: Final = "*"
"""In place of the name of an architecture."""
_Spec = TypeVar("_Spec", bound=When)


@cache
def by_config(runtime: str, version: str, architecture: str) -> ByConfig | None:
    """What is written of the class of an architecture in a release; None if nothing is."""
    file = _read(runtime)

    def own(specs: tuple[_Spec, ...]) -> tuple[_Spec, ...]:
        return tuple(
            spec
            for spec in specs
            if not {architecture, _EVERY}.isdisjoint(spec.architectures)
            and covers(spec.versions, version)
        )

    found = ByConfigFile(
        tuple(part for spec in own(file.stops) for part in spec.apart()),
        own(file.metadata),
        own(file.sizes),
        own(file.modules),
        own(file.shared),
        own(file.lists),
        own(file.counts),
        own(file.joined),
    )
    return ByConfig(found) if found != ByConfigFile() else None


@cache
def _read(runtime: str) -> ByConfigFile:
    return msgspec.convert(facts_of(runtime).found("by_config.toml"), ByConfigFile)
