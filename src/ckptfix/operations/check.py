"""`check`: compare the metadata and the tensors of checkpoints; nothing is written."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.registry import METADATA_FILES
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.errors import CkptfixError
from ckptfix.operations.checked import CheckedCheckpoint, answers_after, answers_of, cured
from ckptfix.operations.examine import Examined, examine
from ckptfix.operations.layer_map import LayerMap, layer_map
from ckptfix.operations.limits import limited
from ckptfix.operations.lines import with_lines
from ckptfix.operations.loading import load_opened, open_noted
from ckptfix.operations.repairs import OwnMap, Repairs, map_arguments
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.local_url import local_path
from ckptfix.remote.opening import DEFAULT_POLICY, NetworkPolicy
from ckptfix.remote.reference import (
    Directory,
    Reference,
    Repository,
    Url,
    parse_reference,
)
from ckptfix.rules.registry import RULES
from ckptfix.rules.selection import EVERY, EVERYTHING, Selection, parse_codes
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.name_maps import NameMap, own_name_map
from ckptfix.runtimes.releases import asked_targets
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible


@dataclass(frozen=True)
class CheckRequest:
    """How to check."""

    own_map: NameMap | None = None
    """Replaces the built-in name map."""
    map_arguments: tuple[str, ...] = ()
    """The arguments that gave it, for the calls that are suggested."""
    targets: tuple[Target, ...] = ()
    """The releases asked about."""
    selection: Selection = EVERYTHING
    """The rules that count."""
    ignored_in: Callable[[str], Sequence[str]] = lambda _: ()
    """Name of a checkpoint -> more codes that do not count in it."""
    repairs: bool = True
    """Plan what each finding and the first screen promise."""
    next_step: bool = True
    """Plan the rewrite to type next."""
    policy: NetworkPolicy = DEFAULT_POLICY
    every: bool = True
    """Each expert has findings of its own; else one finding is for all experts of a bank."""
    lines: bool = True
    """Find the line of every place in a JSON file."""
    layers: bool = False
    """Make the map of layers, with what each release builds otherwise."""
    jobs: int = 4
    """Checkpoints checked at a time, each in a process; where one is not on this machine, read at
    a time."""


def check_one(name: str, request: CheckRequest, listener: Listener = SILENT) -> CheckedCheckpoint:
    """Check one checkpoint.

    Args:
        name: a directory, a repository, a URL; a metadata file stands for its directory.
        request: how.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be checked.
    """
    name = checkpoint_of(name)
    with limited():
        return check_loaded(*load(name, request, listener), request, listener)


def load(name: str, request: CheckRequest, listener: Listener) -> tuple[Reference, Checkpoint]:
    """What a name stands for, and the checkpoint that is there.

    Raises:
        CkptfixError: it cannot be read.
    """
    reference = parse_reference(name, request.policy.revision)
    return reference, load_opened(open_noted(reference, request.policy, listener), listener)


def shown_name(name: str, request: CheckRequest) -> str:
    """The name as reports show it: a repository with its revision."""
    try:
        return str(parse_reference(name, request.policy.revision))
    except CkptfixError:
        return name


def checkpoint_of(name: str) -> str:
    """The directory of a metadata file: what `pre-commit` names are the files that changed."""
    try:
        path = local_path(name) or name
    except CkptfixError:
        return name  # reported where it is opened
    named = Path(path)
    is_file = named.name in (*METADATA_FILES, INDEX_FILE) and not named.is_dir()
    return str(named.parent) if is_file and "://" not in path else path


_KINDS: Final[dict[type, Literal["directory", "repository", "url"]]] = {
    Directory: "directory",
    Repository: "repository",
    Url: "url",
}


def check_loaded(
    reference: Reference, checkpoint: Checkpoint, request: CheckRequest, listener: Listener
) -> CheckedCheckpoint:
    """Check what was read.

    Raises:
        CkptfixError: it cannot be checked.
    """
    name = str(reference)
    selection = request.selection.without(request.ignored_in(name))
    examined = examine(
        checkpoint,
        request.own_map,
        request.targets,
        every=request.every,
        listener=listener,
    )
    rules = {rule: None for rule in RULES.values() if selection.takes(rule.code)}
    counted = [finding for finding in examined.findings if finding.rule in rules]
    ignored = Counter[str]()
    for finding in examined.findings:
        ignored[finding.code] += finding.count if finding.rule not in rules else 0
    checked = CheckedCheckpoint(
        name,
        kind=_KINDS[type(reference)],
        name_map=examined.name_map.origin,
        rules=tuple(rules),
        findings=tuple(counted),
        ignored=+ignored,
        # What the user does not want to hear of keeps a release from loading it all the same.
        runtimes=answers_of(examined.verdicts, examined.counted, examined.findings),
        asked=bool(request.targets),
        banks=None if request.every else examined.checkpoint.banks,
        layers=_layers(examined) if request.layers else None,
    )
    if request.repairs:
        listener.step(Step("planning repairs", name))
        checked = _with_repairs(checked, examined.checkpoint, request)
    if not request.lines:
        return checked
    return replace(checked, findings=tuple(with_lines(checked.findings, checkpoint.documents)))


def _layers(examined: Examined) -> LayerMap:
    return layer_map(examined.checkpoint, examined.name_map, examined.verdicts)


def _with_repairs(
    checked: CheckedCheckpoint, examined: Checkpoint, request: CheckRequest
) -> CheckedCheckpoint:
    """What a rewrite of the checkpoint would repair, as far as that was planned."""
    own = OwnMap(request.own_map, request.map_arguments)
    repairs = Repairs(examined, own, request.targets)
    checked = replace(checked, findings=repairs.of(checked.findings))
    if not request.next_step:
        return checked
    now = checked.runtimes
    fails = any(answer.loads is not Answer.YES for answer in now)
    advised = repairs.advised(
        checked.findings,
        cures=lambda planned: fails and bool(cured(now, answers_after(planned, now))),
    )
    if advised is not None and advised.planned is not None:
        advised = replace(advised, then=answers_after(advised.planned, now))
    return replace(checked, advised=advised)


def with_name(checkpoint: str, error: CkptfixError) -> str:
    """The sentence of an error, with the checkpoint it is about: there may be several."""
    name = visible(checkpoint)
    if error.place is not None:
        return str(error) if name in error.place.file else f"{name.rstrip('/')}/{error}"
    return str(error) if name in str(error) else f"{name}: {error}"


def check(
    checkpoint: str | os.PathLike[str],
    *,
    runtimes: Sequence[str] = (),
    maps: Sequence[str] = (),
    mapper: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> CheckedCheckpoint:
    """Compare the metadata and the tensors of a checkpoint; nothing is written.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        runtimes: the releases asked about, as `vllm==0.17.1`, `sglang>=0.5.10` or `vllm`; every
            known release without any.
        maps: prefixes to rename, ``OLD=NEW`` each; they replace the built-in name map.
        mapper: path of a mapper file, likewise.
        select: codes of the rules that count, or prefixes of codes; all without any.
        ignore: codes that do not.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be checked.
    """
    request = CheckRequest(
        own_name_map(maps, mapper),
        map_arguments(maps, mapper),
        asked_targets(runtimes),
        Selection(parse_codes(select, "select") or (EVERY,), parse_codes(ignore, "ignore")),
        policy=NetworkPolicy(revision, offline, refresh),
    )
    return check_one(os.fspath(checkpoint), request, listener)
