"""What is known about the runtimes, as rows."""

from difflib import get_close_matches

from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.learned.store import learned, why_not_learned
from ckptfix.runtimes.profile import ArchitectureProfile, ConfigMapper
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible


class ReleaseRow(Struct, frozen=True):
    """One known release."""

    runtime: str
    version: str
    architectures: int
    source: str


class ArchitectureRow(Struct, frozen=True):
    """An architecture in one release."""

    runtime: str
    version: str
    class_name: str | None
    """None when the release does not register the architecture."""
    file: str | None
    rules: tuple[str, ...]
    """How the release maps the names in the metadata."""
    packed_modules: dict[str, tuple[str, ...]]
    depends_on_config: bool


class LearnedRow(Struct, frozen=True):
    """Where one release puts the tensors of a name, as observed from its class."""

    stored: str
    """Name of a checkpoint module, or of a matrix other than `weight`, with `#` for numbers."""
    place: str
    """Place of the module in the runtime."""
    asked: str | None
    """The name that the module looks up in its quantization config; empty: it has no name; None:
    there is no lookup."""
    kind: str
    """linear, head, embedding, experts or other."""


class LearnedArchitecture(Struct, frozen=True):
    """What was learned about an architecture's class in one release."""

    runtime: str
    version: str
    learned_from: str
    """The release it was learned from, if that is not this one."""
    class_file: str
    config_source: str
    """real, library or invented; empty where the class could not be built."""
    config: str
    """The repository or the config class that it was built with."""
    names: str
    """Source of the tensor names given to its loader: library or runtime."""
    built_with: str
    """The same in words."""
    single_pass: bool
    """All of them load in one pass and fill every parameter."""
    problem: str
    """Why there are no rows; empty if there are."""
    rows: tuple[LearnedRow, ...]


def learned_architecture(architecture: str, target: Target) -> LearnedArchitecture:
    """What was learned about an architecture for a release.

    Raises:
        CkptfixError: the release does not register it.
    """
    runtime, version = target.runtime, target.profile_version
    if architecture not in load_profile(runtime, version).architectures:
        raise CkptfixError(
            f"{visible(architecture)}: not registered in {runtime} {version}",
            advice=f"see ckptfix runtimes {visible(architecture)}",
        )
    known = learned(runtime, version, architecture)
    if known is None:
        why = why_not_learned(runtime, version, architecture)
        return LearnedArchitecture(
            runtime,
            target.version,
            "",
            "",
            "",
            "",
            "",
            "",
            single_pass=False,
            problem=why,
            rows=(),
        )
    rows = tuple(
        LearnedRow(row.stored, row.place, row.looked_up, row.kind) for row in known.names.every_row
    )
    origin = known.origin
    return LearnedArchitecture(
        runtime,
        target.version,
        known.version,
        origin.class_file,
        origin.source,
        origin.config,
        origin.names,
        known.config,
        single_pass=origin.single_pass,
        problem="",
        rows=rows,
    )


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
