"""A rewrite for several releases at once: rename, alias, or both, proved by resolving it again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import Place
from ckptfix.rewrite.plan import Plan, plan_rewrite, rewritten
from ckptfix.runtimes.name_maps import NO_MAP, NameMap
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import UNQUANTIZED, ModuleVerdict, TargetVerdict, judge

Strategy = Literal["auto", "rename", "alias"]
Aliases = dict[Place, tuple[str, ...]]
"""Place of an entry -> names to add beside it."""


@dataclass(frozen=True)
class PortablePlan:
    """A plan and what every target makes of the checkpoint before and after."""

    plan: Plan
    before: tuple[TargetVerdict, ...]
    after: tuple[TargetVerdict, ...]

    @property
    def harmed(self) -> tuple[TargetVerdict, ...]:
        """Targets that would build a module wrongly which they build rightly now."""
        return tuple(
            new
            for old, new in zip(self.before, self.after, strict=True)
            if new.refused > old.refused or not _names(new.wrong) <= _names(old.wrong)
        )


def plan_for_targets(
    checkpoint: Checkpoint, name_map: NameMap, targets: Sequence[Target], strategy: Strategy
) -> PortablePlan:
    """The plan that makes most modules right in all targets and none wrong.

    `rename` follows the name map. `alias` keeps every spelling and adds the names that a target
    asks for and does not find. `auto` renames where that helps some target and harms none, then
    adds aliases for what is still wrong.
    """
    before = _judge_all(checkpoint, targets)
    if strategy == "rename":
        return _proved(checkpoint, plan_rewrite(checkpoint, name_map), before, targets)
    chosen = NO_MAP
    if strategy == "auto" and any(verdict.wrong for verdict in before):
        renamed = _proved(checkpoint, plan_rewrite(checkpoint, name_map), before, targets)
        helps = _wrong(renamed.after) < _wrong(before)
        if helps and not renamed.plan.refusals and not renamed.harmed:
            chosen = name_map

    def with_aliases(aliases: Aliases) -> PortablePlan:
        plan = plan_rewrite(checkpoint, chosen, aliases, name_map)
        return _proved(checkpoint, plan, before, targets)

    current = with_aliases({})
    aliases = _aliases(checkpoint, current)
    helping = _helping(aliases, current, with_aliases(aliases)) if aliases else {}
    if not helping:
        return current
    aliased = with_aliases(helping)
    return current if aliased.harmed or aliased.plan.refusals else aliased


def _helping(aliases: Aliases, without: PortablePlan, having: PortablePlan) -> Aliases:
    """Those aliases that make a module right in some target."""
    righted = {
        name
        for old, new in zip(without.after, having.after, strict=True)
        for name in _names(old.wrong) - _names(new.wrong)
    }
    kept = {p: tuple(n for n in names if n in righted) for p, names in aliases.items()}
    return {place: names for place, names in kept.items() if names}


def _judge_all(checkpoint: Checkpoint, targets: Iterable[Target]) -> tuple[TargetVerdict, ...]:
    return tuple(judge(checkpoint, target) for target in targets)


def _proved(
    checkpoint: Checkpoint,
    plan: Plan,
    before: tuple[TargetVerdict, ...],
    targets: Sequence[Target],
) -> PortablePlan:
    return PortablePlan(plan, before, _judge_all(rewritten(checkpoint, plan.files), targets))


def _wrong(verdicts: Iterable[TargetVerdict]) -> int:
    return sum(len(verdict.wrong) for verdict in verdicts)


def _names(modules: Iterable[ModuleVerdict]) -> set[str]:
    return {module.name for module in modules}


def _aliases(checkpoint: Checkpoint, current: PortablePlan) -> Aliases:
    """Names to add beside the entry of the last member, in every file that has it."""
    entries: dict[str, list[Place]] = {}
    stated: set[str] = set()
    for metadata in checkpoint.metadata:
        for statement in metadata.of_kind("entry"):
            entries.setdefault(statement.name, []).append(statement.place)
            stated.add(statement.name)
    wanted: dict[Place, dict[str, None]] = {}
    for verdict in current.after:
        for module in verdict.wrong:
            if module.resolution is None or module.resolved != UNQUANTIZED:
                continue
            named = next((m for m in reversed(module.members) if m in entries), None)
            if named is None or module.name in stated:
                continue
            for place in entries[named]:
                wanted.setdefault(place, {})[module.name] = None
    return {place: tuple(names) for place, names in wanted.items()}
