"""One checkpoint checked as requested; `check` and `check_many` call this."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.registry import METADATA_FILES
from ckptfix.checkpoint.mistral import JSON_FILES
from ckptfix.checkpoint.shard_index import INDEX_FILE
from ckptfix.errors import CkptfixError
from ckptfix.operations.checked import CheckedCheckpoint, answers_of
from ckptfix.operations.examine import Examined, examine
from ckptfix.operations.layer_map import LayerMap, layer_map
from ckptfix.operations.limits import limited
from ckptfix.operations.lines import with_lines
from ckptfix.operations.loading import load_opened, open_noted
from ckptfix.operations.overrides import can_be_passed
from ckptfix.operations.plan_folded import diff_of_whole
from ckptfix.operations.plans import OwnMap, Plans
from ckptfix.operations.repairs import Repairs
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.cache_entry import is_snapshot
from ckptfix.remote.local_url import local_path
from ckptfix.remote.opening import DEFAULT_POLICY, NetworkPolicy
from ckptfix.remote.reference import (
    Directory,
    Reference,
    Repository,
    parse_reference,
)
from ckptfix.rules.registry import RULES
from ckptfix.rules.selection import EVERYTHING, Selection
from ckptfix.runtimes.drafts import draft_answers
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.targets import Target


class CheckRequest(Struct, frozen=True):
    """How to check."""

    own_map: NameMap | None = None
    """Replaces the built-in name map."""
    map_arguments: tuple[str, ...] = ()
    """The arguments that produced it, for suggested calls."""
    targets: tuple[Target, ...] = ()
    """The requested releases."""
    selection: Selection = EVERYTHING
    """The rules that count."""
    ignored_in: Callable[[str], Sequence[str]] = lambda _: ()
    """Name of a checkpoint -> additional codes ignored in it."""
    repairs: bool = True
    """Plan the repair of each finding and of the first screen."""
    next_step: bool = True
    """Plan the rewrite that the report suggests."""
    policy: NetworkPolicy = DEFAULT_POLICY
    every: bool = True
    """Report findings for each expert; else one finding covers all experts of a bank."""
    lines: bool = True
    """Find the line of every place in a JSON file."""
    patch: bool = False
    """Make the patch of the next step."""
    page: bool = False
    """Make what only the HTML page shows: the map of layers."""
    jobs: int = 4
    """Number of checkpoints checked in parallel, each in a process; if one is not on this machine,
    the number read in parallel."""


def check_one(name: str, request: CheckRequest, listener: Listener = SILENT) -> CheckedCheckpoint:
    """Check one checkpoint.

    Args:
        name: a directory, a repository or a URL; a metadata file means its directory.
        request: how to check.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be checked.
    """
    name = checkpoint_of(name)
    with limited():
        return check_loaded(*load(name, request, listener), request, listener)


def load(name: str, request: CheckRequest, listener: Listener) -> tuple[Reference, Checkpoint]:
    """The reference that a name means, and the checkpoint there.

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
    """The directory of a metadata file, because `pre-commit` passes the files that changed."""
    try:
        path = local_path(name) or name
    except CkptfixError:
        return name  # reported where it is opened
    named = Path(path)
    is_file = named.name in (*METADATA_FILES, INDEX_FILE, *JSON_FILES) and not named.is_dir()
    return str(named.parent) if is_file and "://" not in path else path


def kind_of(reference: Reference) -> Literal["directory", "snapshot", "repository", "url"]:
    """The kind of name, which determines what can be done with the checkpoint."""
    if isinstance(reference, Directory):
        return "snapshot" if is_snapshot(Path(reference.path).resolve()) else "directory"
    return "repository" if isinstance(reference, Repository) else "url"


def check_loaded(
    reference: Reference, checkpoint: Checkpoint, request: CheckRequest, listener: Listener
) -> CheckedCheckpoint:
    """Check a loaded checkpoint.

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
        kind=kind_of(reference),
        name_map=examined.name_map.origin,
        rules=tuple(rules),
        findings=tuple(counted),
        ignored=+ignored,
        # An ignored finding still keeps a release from loading the checkpoint.
        runtimes=answers_of(examined.verdicts, examined.counted, examined.findings),
        drafts=draft_answers(examined.checkpoint, examined.counted),
        requested=bool(request.targets),
        banks=None if request.every else examined.checkpoint.banks,
        layers=_layers(examined) if request.page else None,
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
    """The report with what a rewrite would repair, as far as one was planned."""
    own = OwnMap(request.own_map, request.map_arguments)
    repairs = Repairs(Plans(examined, own, checked.runtimes), request.targets)
    fixes = repairs.of(checked.findings)
    checked = replace(checked, findings=tuple(fix.finding for fix in fixes))
    if not request.next_step:
        return checked
    advised = repairs.advised(fixes)
    if advised is not None and advised.planned is not None:
        diff = diff_of_whole(advised.planned, advised.request) if request.patch else ""
        passed = bool(request.targets) and can_be_passed(advised.planned, checked.runtimes)
        advised = replace(advised, diff=diff, without_writing=passed)
    return replace(checked, advised=advised)
