"""What is known about the runtimes, as rows."""

from dataclasses import dataclass
from difflib import get_close_matches

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.profile import ArchitectureProfile, ConfigMapper
from ckptfix.runtimes.profile_store import known_releases, known_runtimes, load_profile
from ckptfix.text import visible


@dataclass(frozen=True)
class ReleaseRow:
    """One known release."""

    runtime: str
    version: str
    architectures: int
    source: str


@dataclass(frozen=True)
class ArchitectureRow:
    """An architecture in one release."""

    runtime: str
    version: str
    class_name: str | None
    """None when the release does not register the architecture."""
    file: str | None
    rules: tuple[str, ...]
    """What the release does to the names in the metadata."""
    packed_modules: dict[str, tuple[str, ...]]
    depends_on_config: bool


def release_rows() -> tuple[ReleaseRow, ...]:
    """Every known release, by runtime, oldest first."""
    rows = []
    for runtime in known_runtimes():
        for version in known_releases(runtime):
            profile = load_profile(runtime, version)
            count = len(profile.architectures)
            rows.append(ReleaseRow(runtime, version, count, profile.source))
    return tuple(rows)


def architecture_rows(architecture: str) -> tuple[ArchitectureRow, ...]:
    """What every known release does with an architecture.

    Raises:
        CkptfixError: no release registers it; with the most similar name.
    """
    rows = []
    names: set[str] = set()
    for runtime in known_runtimes():
        for version in known_releases(runtime):
            architectures = load_profile(runtime, version).architectures
            names.update(architectures)
            rows.append(_row(runtime, version, architectures.get(architecture)))
    if all(row.class_name is None for row in rows):
        close = get_close_matches(architecture, sorted(names), n=1)
        raise CkptfixError(
            f"{visible(architecture)}: no known release registers this architecture",
            advice=f"did you mean {close[0]}" if close else "see ckptfix runtimes",
        )
    return tuple(rows)


def _row(runtime: str, version: str, profile: ArchitectureProfile | None) -> ArchitectureRow:
    if profile is None:
        return ArchitectureRow(runtime, version, None, None, (), {}, depends_on_config=False)
    return ArchitectureRow(
        runtime,
        version,
        profile.class_name,
        profile.file,
        _rules(profile.mapper),
        dict(profile.packed_modules or {}),
        profile.depends_on_config,
    )


def _rules(mapper: ConfigMapper | None) -> tuple[str, ...]:
    if mapper is None:
        return ()
    kinds = (
        ("regex", mapper.regex),
        ("substr", mapper.substr),
        ("prefix", mapper.prefix),
        ("suffix", mapper.suffix),
    )
    return tuple(
        f"{kind} {old} -> {'(deleted)' if new is None else new or '(nothing)'}"
        for kind, rules in kinds
        for old, new in rules
    )
