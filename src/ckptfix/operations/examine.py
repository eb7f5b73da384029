"""All rules on one checkpoint, for the releases asked about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.fold import Fold
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.rules.finding import Finding
from ckptfix.rules.folded import holds_for_all, tells_of_banks, with_all_experts
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map
from ckptfix.runtimes.releases import judge_all, known_targets
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict, judge_each


@dataclass(frozen=True)
class Examined:
    """What was found in a checkpoint."""

    checkpoint: Checkpoint
    """The one that was looked at: the folded one where that was enough."""
    name_map: NameMap
    verdicts: tuple[TargetVerdict, ...]
    """Of the releases asked about."""
    findings: tuple[Finding, ...]
    outlook: tuple[TargetVerdict, ...]
    """The verdicts, or those of every known release where none was asked about."""


def examine(
    checkpoint: Checkpoint,
    own_map: NameMap | None,
    targets: Sequence[Target],
    *,
    ask_all: bool,
    every: bool = True,
    listener: Listener = SILENT,
) -> Examined:
    """What is found, in the folded checkpoint if that is enough.

    Args:
        checkpoint: both sides.
        own_map: the user's name map, if there is one.
        targets: the releases asked about.
        ask_all: ask every known release where `targets` is empty, and do not list every expert
            among the members of its bank.
        every: each expert has findings of its own; else one finding is for all experts of a bank.
        listener: told which release is asked.
    """
    listener.step(Step("comparing metadata and tensors", checkpoint.name))
    if checkpoint.folded is not checkpoint and own_map is None:
        folded = checkpoint.folded
        examined = _examine(folded, None, targets, ask_all=ask_all, listener=listener)
        one_by_one = every and any(map(tells_of_banks, examined.findings))
        judged = examined.verdicts or examined.outlook
        if not one_by_one and holds_for_all(folded, examined.findings, judged):
            return _unfolded(examined, checkpoint, every=every and not ask_all)
    return _examine(checkpoint, own_map, targets, ask_all=ask_all, listener=listener)


def _unfolded(examined: Examined, whole: Checkpoint, *, every: bool) -> Examined:
    """With places as they are in the files of the whole checkpoint."""
    fold = examined.checkpoint.fold
    verdicts = examined.verdicts
    if every:
        verdicts = tuple(with_all_experts(whole, verdict) for verdict in verdicts)
    found = examined.findings
    if fold is not None and fold.positions:
        found = tuple(_placed(finding, fold) for finding in found)
    return replace(examined, verdicts=verdicts, findings=found)


def _placed(finding: Finding, fold: Fold) -> Finding:
    related = tuple(replace(r, place=fold.place(r.place)) for r in finding.related)
    return replace(finding, place=fold.place(finding.place), related=related)


def _examine(
    checkpoint: Checkpoint,
    own_map: NameMap | None,
    targets: Sequence[Target],
    *,
    ask_all: bool,
    listener: Listener,
) -> Examined:
    name_map = own_map or builtin_name_map(checkpoint)
    verdicts = judge_all(checkpoint, targets, listener)
    listener.step(Step("applying the rules", checkpoint.name))
    found = find_all(checkpoint, name_map.without_releases() if verdicts else name_map, verdicts)
    outlook = verdicts
    if ask_all and not verdicts:
        outlook = judge_each(checkpoint, known_targets(checkpoint), listener)
    return Examined(checkpoint, name_map, verdicts, found, outlook)
