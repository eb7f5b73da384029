"""Reads what was learned: the list of a release, and one line of the tables for an architecture."""

from functools import cache, cached_property
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from packaging.version import Version

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.facts import FACTS
from ckptfix.runtimes.learned.agreed import agreed_origin, agreed_table, scales_differ
from ckptfix.runtimes.learned.records import ArchitectureRecord, ReleaseRecord, TableRecord
from ckptfix.runtimes.learned.release_file import releases_in
from ckptfix.runtimes.learned.table import Table
from ckptfix.runtimes.profile import ConfigMapper
from ckptfix.text import visible

FOLDER: Final = "learned"
TABLES: Final = "tables.jsonl"
_releases: Final = msgspec.json.Decoder(ReleaseRecord)
_tables: Final = msgspec.json.Decoder(TableRecord)


class Learned(Struct, frozen=True, dict=True):
    """What is known about an architecture in a release."""

    runtime: str
    version: str
    """The release whose class was built."""
    is_nearest: bool
    """It was learned from a release other than the requested one, where it may differ."""
    architecture: str
    origin: ArchitectureRecord
    table: TableRecord
    unsettled_heads: tuple[str, ...] = ()
    """Names of heads that one of the two releases around it builds also when they are tied."""
    unsettled_scales: bool = False
    """Those two do different things with the scales of a KV cache."""

    @cached_property
    def names(self) -> Table:
        """The behaviour of the class, by names of a checkpoint."""
        return Table(self.table)

    def names_for(self, config: ModelConfig | None) -> Table:
        """The same for one config.json."""
        return self.names if config is None else self.names.under(config.values)

    @cached_property
    def mappers(self) -> tuple[ConfigMapper, ...] | None:
        """What is applied to the names in the metadata; None if not observed."""
        seen = self.table.mappers
        if seen is None:
            return None
        return tuple(ConfigMapper(m.regex, m.substr, m.prefix, m.suffix) for m in seen)

    @property
    def takes_several_inside(self) -> bool:
        """It was learned with several language models, whose sizes differ in more than numbers."""
        return any(key.endswith(".model_type") for key in self.table.values)

    @property
    def is_certain(self) -> bool:
        """False if it does not allow a verdict: an invented config, or another release."""
        return self.origin.source != "invented" and not self.is_nearest

    @property
    def config(self) -> str:
        """What it was built with, for the user: `the library's Glm4MoeConfig`."""
        origin = self.origin
        named = {"real": "the config of ", "library": "the library's "}.get(origin.source)
        return "an invented config" if named is None else f"{named}{visible(origin.config)}"

    @property
    def source(self) -> str:
        """Where this was learned, for the user."""
        return f"{self.runtime} {self.version}: {self.origin.class_file}, learned from the class"


def _folder(runtime: str) -> Path:
    return FACTS / runtime / FOLDER


def learned_releases(runtime: str) -> tuple[str, ...]:
    """The releases with learned classes, oldest first."""
    return releases_in(runtime, FOLDER)


@cache
def release(runtime: str, version: str) -> ReleaseRecord:
    """The list of a learned release."""
    return _releases.decode((_folder(runtime) / f"{version}.json").read_bytes())


@cache
def _lines(runtime: str) -> bytes:
    return (_folder(runtime) / TABLES).read_bytes()


@cache
def table(runtime: str, identifier: str) -> TableRecord:
    """One table; the others are not decoded."""
    lines = _lines(runtime)
    start = lines.index(b'\n"%s":' % identifier.encode()) + len(identifier) + 4
    return _tables.decode(lines[start : lines.index(b"\n", start)].rstrip(b","))


def nearest_release(runtime: str, version: str) -> str | None:
    """The release itself, otherwise the next newer one, otherwise the newest that was learned."""
    known = learned_releases(runtime)
    newer = [release_ for release_ in known if Version(release_) >= Version(version)]
    return newer[0] if newer else known[-1] if known else None


@cache
def learned(runtime: str, version: str, architecture: str) -> Learned | None:
    """What is known about an architecture, from the release or the nearest one that was learned.

    Args:
        runtime: its name, as `vllm`.
        version: a known release.
        architecture: an entry of `architectures` in config.json.
    """
    used = nearest_release(runtime, version)
    if used is None:
        return None
    if used == version:
        return _learned_in(runtime, version, architecture)
    before = [known for known in learned_releases(runtime) if Version(known) < Version(version)]
    return _learned_near(runtime, before[-1] if before else "", used, architecture)


@cache
def _learned_in(runtime: str, version: str, architecture: str) -> Learned | None:
    origin = release(runtime, version).architectures.get(architecture)
    if origin is None:
        return None
    record = table(runtime, origin.table)
    built_in = origin.alike[-1] if origin.alike else version
    return Learned(runtime, built_in, False, architecture, origin, record)


@cache
def _learned_near(runtime: str, before: str, used: str, architecture: str) -> Learned | None:
    """The same object for all releases between two that were learned."""
    known = _learned_in(runtime, used, architecture)
    if known is None:
        return None
    earlier = _learned_in(runtime, before, architecture) if before not in ("", used) else None
    same = agreed_table(earlier.table, known.table) if earlier else None
    if earlier is None or same is None:
        return replace(known, is_nearest=True)
    origin = agreed_origin(earlier.origin, known.origin)
    return replace(
        known,
        origin=origin,
        table=same,
        unsettled_heads=tuple(sorted({*earlier.origin.heads} ^ {*known.origin.heads})),
        unsettled_scales=scales_differ(earlier.table, known.table),
    )


def needs_of(runtime: str, version: str, architecture: str) -> tuple[str, ...]:
    """Keys of config.json that its class was seen to need, as in `ArchitectureRecord.needs`."""
    used = nearest_release(runtime, version)
    origin = release(runtime, used).architectures.get(architecture) if used else None
    return origin.needs if origin else ()


def of_release(runtime: str, version: str, architecture: str) -> Learned | None:
    """What is known for certain: of a release that was learned, or between two that do alike."""
    known = learned(runtime, version, architecture)
    return known if known is not None and known.is_certain else None


def why_not_learned(runtime: str, version: str, architecture: str) -> str:
    """Why there are no rows for an architecture, for the user."""
    used = nearest_release(runtime, version)
    if used is None:
        return f"nothing was learned from the classes of {runtime}"
    why = release(runtime, used).failed.get(architecture)
    return (
        f"its class could not be built: {visible(why)}" if why else f"{used} does not register it"
    )
