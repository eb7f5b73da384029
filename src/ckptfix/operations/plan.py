"""`plan`: what a rewrite would change, proved for the releases; nothing is written."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.installed.targets import targets_of
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load_opened, open_named
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.opening import NetworkPolicy, Opened
from ckptfix.rewriting.diff import unified_diff
from ckptfix.rewriting.portable import Strategy
from ckptfix.rewriting.proved import Planner, ProvedPlan, RewriteRequest
from ckptfix.rewriting.unfold import NotForAllError, unfolded_plan
from ckptfix.rules.folded import holds_for_all
from ckptfix.runtimes.name_maps import own_name_map


@dataclass(frozen=True, kw_only=True)
class RewritePlan(ProvedPlan):
    """A rewrite of one checkpoint that can be shown, applied or refused."""

    opened: Opened
    """Where the checkpoint comes from."""

    def diff(self) -> str:
        """The metadata files as a patch that `git apply` takes, relative to the checkpoint."""
        return "".join(map(unified_diff, self.plan.files))


def make_plan(
    opened: Opened, checkpoint: Checkpoint, request: RewriteRequest, listener: Listener = SILENT
) -> RewritePlan:
    """The plan for the requested releases, or for every known one.

    It is made for the folded checkpoint if that is sufficient.

    Raises:
        CkptfixError: no release registers the architecture, or the rules contradict themselves.
    """
    listener.step(Step("planning the rewrite", checkpoint.name))
    own = request.own_map or request.from_tensors or request.tensors
    own = own or checkpoint.dialect.reading is not None
    # An installed runtime gets all tensors as they are stored.
    queries = any(target.installed is not None for target in request.targets)
    folded = checkpoint if own or queries else checkpoint.folded
    with limited():
        planned = plan_folded(
            folded,
            checkpoint,
            lambda small: Planner(small, request, listener).make_with_advice(),
            to_write=True,
        )
    parts = {field.name: getattr(planned, field.name) for field in fields(planned)}
    return RewritePlan(**parts | {"checkpoint": checkpoint}, opened=opened)


def plan_folded(
    folded: Checkpoint,
    whole: Checkpoint,
    make: Callable[[Checkpoint], ProvedPlan],
    *,
    to_write: bool,
) -> ProvedPlan:
    """The plan for a folded checkpoint if it holds for every expert, otherwise for the whole.

    Args:
        folded: the one to try first; the whole one if it must not be folded.
        whole: the checkpoint that it was made from.
        make: makes the plan.
        to_write: its files and refusals are those of the whole checkpoint.
    """
    if folded is whole:
        return make(whole)
    planned = make(folded)
    plan, portable = planned.plan, planned.portable
    findings = (*plan.findings_before, *plan.findings_after)
    verdicts = (*portable.before, *portable.after) if portable else ()
    if not holds_for_all(folded, findings, verdicts) or (to_write and plan.refusals):
        return make(whole)
    if not to_write:
        return planned
    try:
        return replace(planned, plan=unfolded_plan(plan, folded, whole))
    except NotForAllError:
        return make(whole)


def diff_of_whole(planned: ProvedPlan, request: RewriteRequest) -> str:
    """What a plan does to the files as they are, as a patch.

    Args:
        planned: of the folded checkpoint or of the whole one.
        request: what it was made for.
    """
    whole, plan_ = planned.checkpoint.whole, planned.plan
    if whole is not None:
        try:
            plan_ = unfolded_plan(plan_, planned.checkpoint, whole)
        except NotForAllError:
            plan_ = Planner(whole, request).make().plan
    return "".join(map(unified_diff, plan_.files))


def plan_rewrite_of(
    opened: Opened, request: RewriteRequest, listener: Listener = SILENT
) -> RewritePlan:
    """Load a checkpoint and plan its rewrite.

    Raises:
        CkptfixError: as `load_opened` and `make_plan`.
    """
    return make_plan(opened, load_opened(opened, listener), request, listener)


def request_from(
    runtimes: Sequence[str],
    maps: Sequence[str],
    mapper: str | None,
    strategy: Strategy,
    *,
    from_tensors: bool,
    tensors: bool,
) -> RewriteRequest:
    """The request that the arguments of `plan` and `rewrite` describe.

    Raises:
        CkptfixError: there is no such release or map.
    """
    own, targets = own_name_map(maps, mapper), targets_of(runtimes)
    return RewriteRequest(own, targets, strategy, from_tensors, tensors)


def plan(
    checkpoint: str | os.PathLike[str],
    *,
    runtimes: Sequence[str] = (),
    maps: Sequence[str] = (),
    mapper: str | None = None,
    strategy: Strategy = "auto",
    from_tensors: bool = False,
    tensors: bool = False,
    revision: str | None = None,
    offline: bool = False,
    refresh: bool = False,
    listener: Listener = SILENT,
) -> RewritePlan:
    """What a rewrite would change, proved for the releases; nothing is written.

    Args:
        checkpoint: a directory, a repository of the Hub, or a URL.
        runtimes: target releases, such as `vllm==0.17.1`; if empty, every known one, unless `maps`
            or `mapper` decide alone.
        maps: prefixes to rename, ``OLD=NEW`` each; they replace the built-in name map.
        mapper: path of a mapper file, likewise.
        strategy: `rename` follows the name map, `alias` keeps every name and adds those that a
            release looks up, `auto` renames where that helps and then adds aliases.
        from_tensors: first make the metadata declare what is stored.
        tensors: first rename tensors, in the headers of the shard files.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: query the Hub even if the local cache has a snapshot.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read or planned.
    """
    request = request_from(
        runtimes, maps, mapper, strategy, from_tensors=from_tensors, tensors=tensors
    )
    opened = open_named(os.fspath(checkpoint), NetworkPolicy(revision, offline, refresh), listener)
    return plan_rewrite_of(opened, request, listener)
