"""All rules on one checkpoint, for the releases asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.cli.judging import judge_all, known_targets, without_releases
from ckptfix.cli.loading import builtin_name_map
from ckptfix.rules.finding import Finding
from ckptfix.rules.folded import holds_for_all, with_all_experts
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict, judge


@dataclass(frozen=True)
class Examined:
    """What was found in a checkpoint."""

    name_map: NameMap
    verdicts: tuple[TargetVerdict, ...]
    """Of the releases asked about."""
    findings: tuple[Finding, ...]
    outlook: tuple[TargetVerdict, ...]
    """The verdicts, or those of every known release where none was asked about."""


def examine(
    checkpoint: Checkpoint, own_map: NameMap | None, targets: Sequence[Target], *, ask_all: bool
) -> Examined:
    """What is found, in the folded checkpoint if that says all.

    Args:
        checkpoint: both sides.
        own_map: the user's name map, if there is one.
        targets: the releases asked about.
        ask_all: ask every known release where `targets` is empty; for people, who want no list of
            all members.
    """
    if checkpoint.folded is not checkpoint and own_map is None:
        examined = _examine(checkpoint.folded, None, targets, ask_all=ask_all)
        if holds_for_all(examined.findings, examined.verdicts or examined.outlook):
            if ask_all:
                return examined
            verdicts = tuple(with_all_experts(checkpoint, v) for v in examined.verdicts)
            return replace(examined, verdicts=verdicts)
    return _examine(checkpoint, own_map, targets, ask_all=ask_all)


def _examine(
    checkpoint: Checkpoint, own_map: NameMap | None, targets: Sequence[Target], *, ask_all: bool
) -> Examined:
    name_map = own_map or builtin_name_map(checkpoint)
    verdicts = judge_all(checkpoint, targets)
    found = find_all(checkpoint, without_releases(name_map) if verdicts else name_map, verdicts)
    outlook = verdicts
    if ask_all and not verdicts:
        outlook = tuple(judge(checkpoint, target) for target in known_targets(checkpoint))
    return Examined(name_map, verdicts, found, outlook)
