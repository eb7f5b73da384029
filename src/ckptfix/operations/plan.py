"""`plan`: what a rewrite would change, proved for the releases; nothing is written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.operations.limits import limited
from ckptfix.operations.loading import load_opened, open_named
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.opening import Opened, Reach
from ckptfix.rewriting.diff import unified_diff
from ckptfix.rewriting.plan import Plan, plan_rewrite, rewritten
from ckptfix.rewriting.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewriting.rebuild.plan import join_plans, plan_rebuild
from ckptfix.rewriting.tensors.plan import TensorPlan, harmed_by, plan_names_of_tensors
from ckptfix.rules.folded import holds_for_all
from ckptfix.runtimes.name_maps import NameMap, builtin_name_map, damage_map, own_name_map
from ckptfix.runtimes.releases import asked_targets, judge_all, known_targets
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict


@dataclass(frozen=True)
class RewriteRequest:
    """What to rewrite."""

    own_map: NameMap | None = None
    """Replaces the built-in name map; the map over tensor names where `tensors` is set."""
    targets: tuple[Target, ...] = ()
    """The releases that the names must be right for; every known one where there are none, unless
    `own_map` decides alone."""
    strategy: Strategy = "auto"
    from_tensors: bool = False
    """First make the metadata declare what is stored."""
    tensors: bool = False
    """First rename tensors."""


@dataclass(frozen=True)
class RewritePlan:
    """A rewrite of one checkpoint that can be shown, applied or refused."""

    opened: Opened
    """Where the checkpoint comes from."""
    checkpoint: Checkpoint
    """As it is."""
    plan: Plan
    portable: PortablePlan | None
    """Before and after on each release; None where no release is known to ask."""
    harmed: tuple[TargetVerdict, ...]
    """Releases that the plan would break."""
    tensors: TensorPlan | None
    """None where no tensor is to be renamed."""
    tensors_say_more: bool = False
    """Something is still wrong afterwards that `from_tensors` would repair."""

    @property
    def changes_something(self) -> bool:
        """True when a file would be written."""
        return bool(self.plan.files) or bool(self.tensors and self.tensors.renames.new_names)

    @property
    def refused(self) -> bool:
        """True for a plan that must not be carried out."""
        return bool(self.plan.refusals or self.harmed)

    @property
    def helps(self) -> bool:
        """True when something is written, and less is wrong then."""
        if self.refused or not self.changes_something:
            return False
        portable = self.portable
        rights = portable is not None and portable.failing_after < portable.failing_before
        return rights or len(self.plan.findings_after) < len(self.plan.findings_before)

    @property
    def leaves_faults(self) -> bool:
        """True when something is still wrong after it."""
        after = self.portable.after if self.portable else ()
        return bool(self.plan.findings_after) or any(verdict.fails for verdict in after)

    def diff(self) -> str:
        """The metadata files as a patch that `git apply` takes, relative to the checkpoint."""
        return "".join(map(unified_diff, self.plan.files))


def make_plan(
    opened: Opened, checkpoint: Checkpoint, request: RewriteRequest, listener: Listener = SILENT
) -> RewritePlan:
    """The plan for the releases asked about, or for every known one.

    It is made for the folded checkpoint if that is enough.

    Raises:
        CkptfixError: no release registers the architecture, or the rules contradict themselves.
    """
    listener.step(Step("planning the rewrite", checkpoint.name))
    whole = _Planner(opened, checkpoint, request, listener)
    own = request.own_map or request.from_tensors or request.tensors
    with limited():
        if checkpoint.folded is not checkpoint and not own:
            planned = replace(whole, checkpoint=checkpoint.folded).make_with_advice()
            if _holds_for_all(checkpoint.folded, planned):
                return replace(planned, checkpoint=checkpoint)
        return whole.make_with_advice()


def _holds_for_all(folded: Checkpoint, planned: RewritePlan) -> bool:
    plan, portable = planned.plan, planned.portable
    findings = (*plan.findings_before, *plan.findings_after)
    verdicts = (*portable.before, *portable.after) if portable else ()
    names = [s.name for m in folded.metadata for s in m.statements if EXPERTS in s.name]
    renames = any(plan.name_map.mapper.map(name) != name for name in names)
    return not plan.refusals and not renames and holds_for_all(findings, verdicts)


@dataclass(frozen=True)
class _Planner:
    opened: Opened
    checkpoint: Checkpoint
    request: RewriteRequest
    listener: Listener

    def make(self) -> RewritePlan:
        """The plan for the checkpoint as it is."""
        asked = self.request
        tensors = None
        own = asked.own_map
        if asked.tensors:
            tensors, own = plan_names_of_tensors(self.checkpoint, own), None
        named = tensors.checkpoint if tensors else self.checkpoint
        name_map = own or builtin_name_map(named)
        targets = asked.targets
        judge_all(named, targets, self.listener)  # complains of releases that cannot be asked
        if targets:
            name_map = name_map.without_releases()
        elif own is None:
            targets = known_targets(named)
        plan, portable = self._planned(named, name_map, targets)
        harmed = portable.harmed if portable else ()
        if tensors and tensors.changes_something:
            plan = tensors.joined_with(plan)
            harmed = (*harmed_by(tensors, targets), *harmed)
            if portable:
                before = judge_all(self.checkpoint, targets, self.listener)
                portable = replace(portable, plan=plan, before=before)
        return RewritePlan(self.opened, self.checkpoint, plan, portable, harmed, tensors)

    def make_with_advice(self) -> RewritePlan:
        """The same, and whether the tensors say more where something is still wrong after it."""
        planned = self.make()
        if self.request.from_tensors or not planned.leaves_faults:
            return planned
        named = planned.tensors.checkpoint if planned.tensors else self.checkpoint
        then = RewriteRequest(targets=self.request.targets, from_tensors=True)
        after = rewritten(named, planned.plan.files)
        more = replace(self, checkpoint=after, request=then).make()
        return replace(planned, tensors_say_more=more.helps)

    def _planned(
        self, named: Checkpoint, name_map: NameMap, targets: tuple[Target, ...]
    ) -> tuple[Plan, PortablePlan | None]:
        """Names, after the content where the tensors decide it."""
        rebuilt = plan_rebuild(named, name_map) if self.request.from_tensors else ()
        start = rewritten(named, rebuilt)
        portable = None
        if targets:
            self.listener.step(Step("proving the plan", named.name))
            portable = plan_for_targets(start, name_map, targets, self.request.strategy)
            plan = portable.plan
        else:
            # A map that no release is known to need renames nothing that nobody asked it to rename.
            asked = self.request.own_map is not None or name_map.required
            plan = plan_rewrite(start, name_map if asked else damage_map(), spelling=name_map)
        if rebuilt:
            plan = join_plans(named, name_map, rebuilt, plan)
        if portable:
            before = judge_all(named, targets, self.listener) if rebuilt else portable.before
            portable = replace(portable, plan=plan, before=before)
        return plan, portable


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
        runtimes: the releases that the names must be right for, as `vllm==0.17.1`; every known one
            without any, unless `maps` or `mapper` decide alone.
        maps: prefixes to rename, ``OLD=NEW`` each; they replace the built-in name map.
        mapper: path of a mapper file, likewise.
        strategy: `rename` follows the name map, `alias` keeps every name and adds those that a
            release looks up, `auto` renames where that helps and then adds aliases.
        from_tensors: first make the metadata declare what is stored.
        tensors: first rename tensors, in the headers of the shard files.
        revision: branch, tag or commit of a repository.
        offline: make no request.
        refresh: ask the Hub even where a snapshot is in the local cache.
        listener: called while it works.

    Raises:
        CkptfixError: it cannot be read or planned.
    """
    own, targets = own_name_map(maps, mapper), asked_targets(runtimes)
    request = RewriteRequest(own, targets, strategy, from_tensors, tensors)
    opened = open_named(os.fspath(checkpoint), Reach(revision, offline, refresh), listener)
    return make_plan(opened, load_opened(opened, listener), request, listener)
