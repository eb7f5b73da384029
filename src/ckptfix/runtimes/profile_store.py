"""Profiles of runtime releases, from `<runtime>/profiles/<release>.json`.

The oldest release of a runtime is stored whole; every later one names its base and holds only the
architectures that changed, so a release that changed nothing is a file of a few lines. Only the
files of a release's chain are read, and an architecture's objects are built on first use.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from packaging.version import Version

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.facts import FACTS
from ckptfix.runtimes.profile import (
    ArchitectureProfile,
    ConfigMapper,
    NameRule,
    RuntimeProfile,
    SubModel,
)
from ckptfix.runtimes.registry import runtime_named
from ckptfix.text import visible


class ArchitectureRecord(msgspec.Struct, frozen=True, omit_defaults=True, rename="kebab"):
    """An architecture as stored; fields as in `ArchitectureProfile`."""

    class_name: str
    file: str
    regex: tuple[NameRule, ...] = ()
    substr: tuple[NameRule, ...] = ()
    prefix: tuple[NameRule, ...] = ()
    suffix: tuple[NameRule, ...] = ()
    has_mapper: bool = False
    packed: dict[str, tuple[str, ...]] | None = None
    supports_quant: bool = False
    sub_models: tuple[tuple[str, str | None, str], ...] = ()
    depends_on_config: bool = False


class ReleaseFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file under `<runtime>/profiles/`."""

    runtime: str
    version: str
    source: str
    base: str | None = None
    """The release whose architectures these change; None for a whole file."""
    changed: dict[str, ArchitectureRecord] = {}
    removed: tuple[str, ...] = ()


_decoder: Final = msgspec.json.Decoder(ReleaseFile)


def _folder(runtime: str) -> Path:
    return FACTS / runtime / "profiles"


@cache
def known_releases(runtime: str) -> tuple[str, ...]:
    """Known releases, oldest first.

    Raises:
        CkptfixError: the runtime is unknown.
    """
    names = [
        p.name for p in _folder(runtime_named(runtime).name).iterdir() if p.name.endswith(".json")
    ]
    return tuple(sorted((name.removesuffix(".json") for name in names), key=Version))


@cache
def load_profile(runtime: str, version: str) -> RuntimeProfile:
    """The profile of one known release.

    Raises:
        CkptfixError: the runtime or the release is not known.
    """
    known = known_releases(runtime)
    if version not in known:
        raise CkptfixError(
            f"{runtime} {visible(version)}: unknown release", advice=f"known are {', '.join(known)}"
        )
    release, records = _records(runtime, version)
    return RuntimeProfile(runtime, version, release.source, _Architectures(records))


@cache
def _records(runtime: str, version: str) -> tuple[ReleaseFile, dict[str, ArchitectureRecord]]:
    path = _folder(runtime) / f"{version}.json"
    release = _decoder.decode(path.read_bytes())
    return release, expand(release, _records(runtime, release.base)[1] if release.base else {})


def expand(
    release: ReleaseFile, base: Mapping[str, ArchitectureRecord]
) -> dict[str, ArchitectureRecord]:
    """All architectures of a release, from those of its base."""
    changed = {**base, **release.changed}
    return {name: record for name, record in changed.items() if name not in release.removed}


_built: Final[dict[tuple[str, int], ArchitectureProfile]] = {}


class _Architectures(Mapping[str, ArchitectureProfile]):
    """Builds a profile on first use; releases that did not change one share it."""

    def __init__(self, records: Mapping[str, ArchitectureRecord]) -> None:
        self._records = records

    def __getitem__(self, architecture: str) -> ArchitectureProfile:
        record = self._records[architecture]
        key = architecture, id(record)  # records live as long as the program
        if key not in _built:
            _built[key] = _profile(architecture, record)
        return _built[key]

    def __contains__(self, architecture: object) -> bool:  # Mapping's own builds the profile
        return architecture in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def _profile(architecture: str, record: ArchitectureRecord) -> ArchitectureProfile:
    mapper = ConfigMapper(record.regex, record.substr, record.prefix, record.suffix)
    return ArchitectureProfile(
        architecture,
        record.class_name,
        record.file,
        mapper if record.has_mapper else None,
        record.packed,
        record.supports_quant,
        tuple(SubModel(*row) for row in record.sub_models),
        record.depends_on_config,
    )
