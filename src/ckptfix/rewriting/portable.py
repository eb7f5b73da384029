"""A rewrite for several releases at once: rename, alias, or both, proved by resolving it again."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.rewriting.aliases import AliasRequest, alias_requests, as_aliases
from ckptfix.rewriting.layer_map import map_into_config
from ckptfix.rewriting.plan import Plan, plan_rewrite, rewritten
from ckptfix.rewriting.proof import harms
from ckptfix.rewriting.rebuild.plan import join_plans
from ckptfix.rules.finding import number_of
from ckptfix.rules.names import is_corrupt
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.name_maps import NO_MAP, NameMap, damage_map
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge_each

Strategy = Literal["auto", "rename", "alias"]
_REFUSED: Final = 1_000_000_000


class PortablePlan(Struct, frozen=True):
    """A plan, and the verdicts of every target before and after it."""

    plan: Plan
    before: tuple[TargetVerdict, ...]
    after: tuple[TargetVerdict, ...]

    @property
    def harmed(self) -> tuple[TargetVerdict, ...]:
        """Targets that would build a module incorrectly which they build correctly now."""
        pairs = zip(self.before, self.after, strict=True)
        return tuple(new for old, new in pairs if harms(old, new))

    @property
    def cured(self) -> tuple[TargetVerdict, ...]:
        """Targets that load the checkpoint afterwards, and do not now."""
        return tuple(
            new
            for old, new in zip(self.before, self.after, strict=True)
            if new.loads.answer is Answer.YES and old.loads.answer is not Answer.YES
        )

    @property
    def does_harm(self) -> bool:
        """True for a plan that must not be carried out."""
        return bool(self.harmed or self.plan.refusals)

    @property
    def failing_before(self) -> int:
        """Weighted number of wrong modules; a release that builds nothing weighs most."""
        return _failing(self.before)

    @property
    def failing_after(self) -> int:
        """The same after it."""
        return _failing(self.after)


def plan_for_targets(
    checkpoint: Checkpoint, name_map: NameMap, targets: Sequence[Target], strategy: Strategy
) -> PortablePlan:
    """The plan that fixes the most modules across all targets without breaking any.

    If config.json lacks the layer map and some target fails, the map is added there too: changes
    in the other file alone do not reach every runtime. It is planned once for a checkpoint:
    rewrites that differ in what they do first often have nothing to do first.
    """
    key = "plan", name_map, tuple(targets), strategy
    if key not in checkpoint.derived:
        checkpoint.derived[key] = _plan_for_targets(checkpoint, name_map, targets, strategy)
    planned: PortablePlan = checkpoint.derived[key]
    return planned


def _plan_for_targets(
    checkpoint: Checkpoint, name_map: NameMap, targets: Sequence[Target], strategy: Strategy
) -> PortablePlan:
    planned = _plan_where_it_stands(checkpoint, name_map, targets, strategy)
    moved = map_into_config(checkpoint) if planned.failing_before else None
    if moved is None:
        return planned
    start = rewritten(checkpoint, [moved])
    plan = _plan_where_it_stands(start, name_map, targets, strategy)
    joined = join_plans(checkpoint, name_map, (moved,), plan.plan)
    other = PortablePlan(joined, planned.before, plan.after)
    gain = planned.failing_after - other.failing_after
    better = gain > 0 or (gain == 0 and planned.plan.files)
    return other if better and not other.does_harm else planned


def _plan_where_it_stands(
    checkpoint: Checkpoint, name_map: NameMap, targets: Sequence[Target], strategy: Strategy
) -> PortablePlan:
    """The plan for the files that currently contain the names.

    `rename` follows the name map. `alias` keeps every spelling and adds the names that a target
    looks up and does not find. `auto` renames if that helps some target, or removes findings of a
    required name map, and harms none; then it adds aliases for what is still wrong.

    Args:
        checkpoint: tensors and metadata.
        name_map: how `rename` and `auto` spell names.
        targets: most important first: if two need conflicting names, the earlier one gets them.
        strategy: see above.
    """
    before = judge_each(checkpoint, targets)
    as_spelled = damage_map() if _is_damaged(checkpoint) else NO_MAP
    if strategy == "alias" or (not name_map.required and not _wrong(before)):
        return _with_aliases(checkpoint, as_spelled, name_map, before, targets)
    renamed = _proved(checkpoint, plan_rewrite(checkpoint, name_map), before, targets)
    if strategy == "rename":
        return renamed
    fewer = number_of(renamed.plan.findings_after) < number_of(renamed.plan.findings_before)
    helps = _wrong(renamed.after) < _wrong(before) or (name_map.required and fewer)
    if helps and not renamed.does_harm:
        return _with_aliases(checkpoint, name_map, name_map, before, targets, renamed)
    kept = _with_aliases(checkpoint, as_spelled, name_map, before, targets)
    # A refused rename that would have fixed more is reported, not hidden by a smaller plan.
    return renamed if helps and _wrong(kept.after) > _wrong(renamed.after) else kept


def _with_aliases(
    checkpoint: Checkpoint,
    chosen: NameMap,
    name_map: NameMap,
    before: tuple[TargetVerdict, ...],
    targets: Sequence[Target],
    current: PortablePlan | None = None,
) -> PortablePlan:
    """Names spelled by `chosen`, and the aliases that help; `name_map` is how they are read.

    `current` is the plan without aliases, where that was made.
    """

    def with_aliases(requests: Iterable[AliasRequest]) -> PortablePlan:
        plan = plan_rewrite(checkpoint, chosen, as_aliases(requests), name_map)
        return _proved(checkpoint, plan, before, targets)

    current = current or with_aliases(())
    requests = alias_requests(checkpoint, chosen, name_map, current.after)
    if not requests:
        return current
    every = with_aliases(requests)
    granted = _helping(requests, current, every)
    aliased = every if granted == requests else with_aliases(granted)
    if not aliased.does_harm:
        return aliased
    granted = ()
    for verdict in current.after:
        more = (*granted, *alias_requests(checkpoint, chosen, name_map, [verdict]))
        attempt = with_aliases(more)
        if not attempt.does_harm and _wrong(attempt.after) < _wrong(current.after):
            granted, current = tuple(dict.fromkeys(more)), attempt
    return current


def _helping(
    requests: Iterable[AliasRequest], without: PortablePlan, having: PortablePlan
) -> tuple[AliasRequest, ...]:
    """Aliases that fix a module in some target."""
    righted = {
        name
        for old, new in zip(without.after, having.after, strict=True)
        for name in _names(old.wrong) - _names(new.wrong)
    }
    return tuple(request for request in requests if request.module in righted)


def _proved(
    checkpoint: Checkpoint,
    plan: Plan,
    before: tuple[TargetVerdict, ...],
    targets: Sequence[Target],
) -> PortablePlan:
    return PortablePlan(plan, before, judge_each(rewritten(checkpoint, plan.files), targets))


def _is_damaged(checkpoint: Checkpoint) -> bool:
    return any(is_corrupt(s.name) for m in checkpoint.metadata for s in m.statements)


def _wrong(verdicts: Iterable[TargetVerdict]) -> int:
    return sum(len(verdict.wrong) for verdict in verdicts)


def _failing(verdicts: Iterable[TargetVerdict]) -> int:
    """Number of modules built incorrectly; a release that builds nothing weighs most."""
    return sum(len(v.wrong) + (_REFUSED if v.refused else 0) for v in verdicts)


def _names(modules: Iterable[ModuleVerdict]) -> set[str]:
    return {module.label for module in modules}
