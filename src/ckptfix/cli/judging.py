"""From `--runtime` to verdicts."""

from collections.abc import Sequence

import msgspec

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import CkptfixError
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.profile_store import known_releases, known_runtimes
from ckptfix.runtimes.targets import Target, parse_target
from ckptfix.runtimes.verdict import TargetVerdict, is_known, judge


def asked_targets(specs: Sequence[str]) -> tuple[Target, ...]:
    """Every release that the specs mean, each once, in the order asked."""
    known = {runtime: known_releases(runtime) for runtime in known_runtimes()}
    targets = [target for spec in specs for target in parse_target(spec, known)]
    return tuple(dict.fromkeys(targets))


def newest_targets() -> tuple[Target, ...]:
    """The newest known release of each runtime."""
    newest = [(runtime, known_releases(runtime)[-1]) for runtime in known_runtimes()]
    return tuple(Target(runtime, version, version) for runtime, version in newest)


def known_targets(checkpoint: Checkpoint) -> tuple[Target, ...]:
    """Every known release that has a verdict for the architecture, newest of each runtime first."""
    releases = [
        Target(runtime, version, version)
        for runtime in known_runtimes()
        for version in reversed(known_releases(runtime))
    ]
    return tuple(target for target in releases if is_known(checkpoint, target))


def judge_all(checkpoint: Checkpoint, targets: Sequence[Target]) -> tuple[TargetVerdict, ...]:
    """A verdict for every target.

    Raises:
        CkptfixError: none of the releases registers the architecture.
    """
    verdicts = tuple(judge(checkpoint, target) for target in targets)
    if verdicts and all(verdict.unregistered for verdict in verdicts):
        first = verdicts[0]
        raise CkptfixError(
            f"{first.target} {first.problem}", advice="see ckptfix runtimes ARCHITECTURE"
        )
    return verdicts


def without_releases(name_map: NameMap) -> NameMap:
    """The same map, with no word on which releases need it: the verdicts say that better.

    A map of the user's own stays required.
    """
    return msgspec.structs.replace(name_map, required=name_map.required and not name_map.needed_by)
