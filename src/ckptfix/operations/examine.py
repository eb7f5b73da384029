"""All rules on one checkpoint, for the releases that count."""

import dataclasses
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.fold import Fold
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.rules.finding import Finding
from ckptfix.rules.folded import holds_for_all, tells_of_banks, with_all_experts
from ckptfix.rules.registry import find_all, find_in_releases
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map
from ckptfix.runtimes.releases import counted_targets, every_target
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge_each


class Examined(Struct, frozen=True):
    """What was found in a checkpoint."""

    checkpoint: Checkpoint
    """The checkpoint that was examined: the folded one if that was enough."""
    name_map: NameMap
    verdicts: tuple[TargetVerdict, ...]
    """Verdicts of the requested releases, by default of every known one, newest first."""
    counted: tuple[Target, ...]
    """Those of them whose verdict becomes findings and counts: the requested releases, or the
    newest of each runtime."""
    findings: tuple[Finding, ...]


def examine(
    checkpoint: Checkpoint,
    own_map: NameMap | None,
    targets: Sequence[Target],
    *,
    every: bool = True,
    listener: Listener = SILENT,
) -> Examined:
    """What is found, in the folded checkpoint if that is enough.

    Args:
        checkpoint: tensors and metadata.
        own_map: the user's name map, if there is one.
        targets: the requested releases.
        every: each expert gets its own findings, and is listed among the members of its bank;
            otherwise one finding represents all experts of a bank.
        listener: called for each release.
    """
    listener.step(Step("comparing metadata and tensors", checkpoint.name))
    # An installed runtime gets all tensors as they are stored.
    queries = any(target.installed is not None for target in targets)
    if checkpoint.folded is not checkpoint and own_map is None and not queries:
        folded = checkpoint.folded
        examined = _examine(folded, None, targets, listener)
        one_by_one = every and any(map(tells_of_banks, examined.findings))
        if not one_by_one and holds_for_all(folded, examined.findings, examined.verdicts):
            return _unfolded(examined, checkpoint, every=every and bool(targets))
    return _examine(checkpoint, own_map, targets, listener)


def _unfolded(examined: Examined, whole: Checkpoint, *, every: bool) -> Examined:
    """With the places in the files of the whole checkpoint."""
    fold = examined.checkpoint.fold
    verdicts = examined.verdicts
    if every:
        verdicts = tuple(with_all_experts(whole, verdict) for verdict in verdicts)
    found = examined.findings
    if fold is not None and fold.positions:
        found = tuple(_placed(finding, fold) for finding in found)
    return replace(examined, verdicts=verdicts, findings=found)


def _placed(finding: Finding, fold: Fold) -> Finding:
    related = tuple(dataclasses.replace(r, place=fold.place(r.place)) for r in finding.related)
    return dataclasses.replace(finding, place=fold.place(finding.place), related=related)


def _examine(
    checkpoint: Checkpoint,
    own_map: NameMap | None,
    targets: Sequence[Target],
    listener: Listener,
) -> Examined:
    name_map = own_map or builtin_name_map(checkpoint)
    verdicts = judge_each(checkpoint, targets or every_target(), listener)
    listener.step(Step("applying the rules", checkpoint.name))
    if targets:
        found = find_all(checkpoint, name_map.without_releases(), verdicts)
        return Examined(checkpoint, name_map, verdicts, tuple(targets), found)
    counted = counted_targets(checkpoint)
    newest = tuple(verdict for verdict in verdicts if verdict.target in counted)
    if checkpoint.dialect.reading is None:
        found = find_all(checkpoint, name_map) + find_in_releases(checkpoint, name_map, newest)
    else:  # what a name matches depends on the reader
        found = find_all(checkpoint, name_map, newest)
    return Examined(checkpoint, name_map, verdicts, counted, found)
