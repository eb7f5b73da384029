"""`plan`: what a rewrite would change, proved for the releases; nothing is written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.installed.targets import targets_of
from ckptfix.operations.further import Further, further
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load_opened, open_named
from ckptfix.operations.plan_folded import plan_folded
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.opening import NetworkPolicy, Opened
from ckptfix.rewriting.diff import unified_diff
from ckptfix.rewriting.portable import Strategy
from ckptfix.rewriting.proved import Planner, ProvedPlan, RewriteRequest
from ckptfix.runtimes.name_maps import own_name_map
from ckptfix.runtimes.targets import Target


@dataclass(frozen=True, kw_only=True)
class RewritePlan(ProvedPlan):
    """A rewrite of one checkpoint that can be shown, applied or refused."""

    opened: Opened
    """Where the checkpoint comes from."""
    requested: tuple[Target, ...] = ()
    """The requested releases."""
    further: Further | None = None
    """What to run instead where this is refused, or afterwards where a release that counts does not
    load it yet; None if nothing helps."""

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
    rebuilds = request.from_tensors and checkpoint.dialect.reading is None
    own = request.own_map or rebuilds or request.tensors
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
        more = further(checkpoint, planned, request)
    parts = {field.name: getattr(planned, field.name) for field in fields(planned)}
    return RewritePlan(
        **parts | {"checkpoint": checkpoint}, opened=opened, requested=request.targets, further=more
    )


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
