"""The releases that a checkpoint is checked for, and the verdict of each."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.progress import SILENT, Listener
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.family import family_for
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target, parse_target
from ckptfix.runtimes.verdict import judge, judge_each

MOST_NAMED: Final = 2
"""More neighbouring releases of a runtime than this become one specifier."""


def registers(checkpoint: Checkpoint, target: Target) -> bool:
    """True where the release has a class for the architecture, or config.json names none."""
    if target.installed is not None:
        return not judge(checkpoint, target).unregistered
    named = checkpoint.config.architectures
    profile = load_profile(target.runtime, target.profile_version)
    return not named or any(architecture in profile.architectures for architecture in named)


def is_known(checkpoint: Checkpoint, target: Target) -> bool:
    """True where the release registers the architecture and its layout is known."""
    if target.installed is not None:
        return judge(checkpoint, target).loads.answer is not Answer.UNKNOWN
    profile = load_profile(target.runtime, target.profile_version)
    try:
        outer = outer_architecture(checkpoint.config, profile)
    except (StopsError, UnregisteredError):
        return False
    family = family_for(profile.runtime, profile.version, [outer])
    return family is not None and (family.learned is None or family.learned.is_certain)


def requested_targets(specs: Sequence[str]) -> tuple[Target, ...]:
    """Every release that the specifiers select, each once, in the order given.

    Raises:
        CkptfixError: an unknown runtime, a malformed specifier, or no release fits.
    """
    known = {runtime: known_releases(runtime) for runtime in known_runtimes()}
    targets = [target for spec in specs for target in parse_target(spec, known)]
    return tuple(dict.fromkeys(targets))


def specs_of(targets: Sequence[Target]) -> tuple[str, ...]:
    """The fewest specifiers that select exactly these releases: `vllm`, `sglang>=0.5.14`.

    >>> specs_of(requested_targets(["vllm", "sglang==0.5.23"]))
    ('vllm', 'sglang==0.5.23')
    >>> specs_of(requested_targets(["vllm>=0.16,<0.25"]))
    ('vllm>=0.16.0,<=0.24.0',)
    """
    made = [target.spec for target in targets if target.installed is not None]
    recorded = (target for target in targets if target.installed is None)
    for runtime, group in groupby(recorded, key=lambda target: target.runtime):
        versions = [target.version for target in group]
        made += [f"{runtime}{specifier}" for specifier in _specifiers(runtime, versions)]
    return tuple(made)


def _specifiers(runtime: str, versions: list[str]) -> list[str]:
    """Bounds that select these releases, where they are neighbours; otherwise each by itself."""
    known = list(known_releases(runtime))
    start = known.index(versions[0]) if versions[0] in known else len(known)
    end = start + len(versions)
    neighbours = versions == known[start:end]
    if not neighbours or MOST_NAMED >= len(versions) < len(known):
        return [f"=={version}" for version in versions]
    lowest = f">={versions[0]}" if start else ""
    highest = f"<={versions[-1]}" if end < len(known) else ""
    return [",".join(filter(None, (lowest, highest)))]


def newest_targets() -> tuple[Target, ...]:
    """The newest known release of each runtime."""
    newest = [(runtime, known_releases(runtime)[-1]) for runtime in known_runtimes()]
    return tuple(Target(runtime, version, version) for runtime, version in newest)


def every_target() -> tuple[Target, ...]:
    """Every known release, newest of each runtime first."""
    return tuple(
        Target(runtime, version, version)
        for runtime in known_runtimes()
        for version in reversed(known_releases(runtime))
    )


def known_targets(checkpoint: Checkpoint) -> tuple[Target, ...]:
    """Every known release that has a verdict for the architecture, newest of each runtime first."""
    return tuple(target for target in every_target() if is_known(checkpoint, target))


def counted_targets(checkpoint: Checkpoint) -> tuple[Target, ...]:
    """The default releases if a user names none.

    The newest known one of each runtime that registers the architecture; if none does, the newest
    of every runtime, which all fail.
    """
    newest: dict[str, Target] = {}
    for target in every_target():
        if registers(checkpoint, target):
            newest.setdefault(target.runtime, target)
    return tuple(newest.values()) or newest_targets()


def judge_all(
    checkpoint: Checkpoint, targets: Sequence[Target], listener: Listener = SILENT
) -> tuple[TargetVerdict, ...]:
    """A verdict for every target.

    Raises:
        CkptfixError: none of the releases registers the architecture.
    """
    verdicts = judge_each(checkpoint, targets, listener)
    if verdicts and all(v.unregistered and not v.refused for v in verdicts):
        first = verdicts[0]
        raise CkptfixError(
            f"{first.target} {first.problem}", advice="see ckptfix runtimes ARCHITECTURE"
        )
    return verdicts
