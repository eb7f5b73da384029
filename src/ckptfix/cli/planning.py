"""From the options of `ckptfix rewrite` to a plan, and the plan on the screen."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TextIO

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.cli.judging import asked_targets, judge_all, known_targets, without_releases
from ckptfix.cli.loading import name_map_for
from ckptfix.names import visible
from ckptfix.remote.opening import HERE_AND_THERE, Reach
from ckptfix.report.console import Line, count, line, show, show_exactly
from ckptfix.report.diff import diff_lines, unified_diff
from ckptfix.report.rewrite_text import (
    more_lines,
    plan_lines,
    portable_lines,
    refusal_lines,
    unchanged_lines,
    verdict_lines,
)
from ckptfix.rewrite.plan import Plan, plan_rewrite, rewritten
from ckptfix.rewrite.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewrite.rebuild.plan import join_plans, plan_rebuild
from ckptfix.rules.folded import holds_for_all
from ckptfix.runtimes.verdict import TargetVerdict


@dataclass(frozen=True)
class RewriteOptions:
    """The options of the command."""

    dry_run: bool
    exit_code: bool
    maps: tuple[str, ...]
    mapper: str | None
    output: str | None
    undo: bool
    runtimes: tuple[str, ...] = ()
    strategy: Strategy = "auto"
    from_tensors: bool = False
    reach: Reach = HERE_AND_THERE
    with_weights: bool = False
    create_pr: bool = False
    verify: bool = False


@dataclass(frozen=True)
class Planned:
    """A plan, and what it does for the releases."""

    plan: Plan
    portable: PortablePlan | None
    """None where no release is known to ask."""
    tensors_say_more: bool

    @property
    def harmed(self) -> tuple[TargetVerdict, ...]:
        """Releases that the plan would break."""
        return self.portable.harmed if self.portable else ()

    @property
    def leaves_faults(self) -> bool:
        """True when something is still wrong after it."""
        after = self.portable.after if self.portable else ()
        return bool(self.plan.findings_after) or any(verdict.fails for verdict in after)


def make_plan(checkpoint: Checkpoint, options: RewriteOptions) -> Planned:
    """The plan for the releases that the options name, or for every known one.

    It is made for the folded checkpoint if that says all.

    Raises:
        CkptfixError: a map or a runtime that cannot be.
    """
    own = options.maps or options.mapper or options.from_tensors
    if checkpoint.folded is not checkpoint and not own:
        planned = _plan_as_it_is(checkpoint.folded, options)
        if _holds_for_all(checkpoint.folded, planned):
            return planned
    return _plan_as_it_is(checkpoint, options)


def _holds_for_all(folded: Checkpoint, planned: Planned) -> bool:
    plan, portable = planned.plan, planned.portable
    findings = (*plan.findings_before, *plan.findings_after)
    verdicts = (*portable.before, *portable.after) if portable else ()
    names = [s.name for m in folded.metadata for s in m.statements if EXPERTS in s.name]
    renames = any(plan.name_map.mapper.map(name) != name for name in names)
    return not plan.refusals and not renames and holds_for_all(findings, verdicts)


def _plan_as_it_is(checkpoint: Checkpoint, options: RewriteOptions) -> Planned:
    name_map = name_map_for(checkpoint, options.maps, options.mapper)
    targets = asked_targets(options.runtimes)
    judge_all(checkpoint, targets)  # complains of releases that cannot be asked
    if targets:
        name_map = without_releases(name_map)
    elif not options.maps and not options.mapper:
        targets = known_targets(checkpoint)
    rebuilt = plan_rebuild(checkpoint, name_map) if options.from_tensors else ()
    start = rewritten(checkpoint, rebuilt)
    portable = None
    if targets:
        portable = plan_for_targets(start, name_map, targets, options.strategy)
    plan = portable.plan if portable else plan_rewrite(start, name_map)
    if rebuilt:
        plan = join_plans(checkpoint, name_map, rebuilt, plan)
    if portable:
        before = judge_all(checkpoint, targets) if rebuilt else portable.before
        portable = replace(portable, plan=plan, before=before)
    planned = Planned(plan, portable, tensors_say_more=False)
    if options.from_tensors or not planned.leaves_faults:
        return planned
    return replace(planned, tensors_say_more=bool(plan_rebuild(checkpoint, name_map)))


def refused(name: str, planned: Planned, options: RewriteOptions) -> bool:
    """True, and said why, when the plan would do harm."""
    if not planned.plan.refusals and not planned.harmed:
        return False
    stream = sys.stderr if options.dry_run else sys.stdout
    show(refusal_lines(name, planned.plan, planned.harmed), stream)
    return True


def show_dry_run(directory: str, planned: Planned) -> None:
    """The patch alone on stdout, so that it can be piped; the summary on stderr."""
    plan = planned.plan
    for change in plan.files:
        show_exactly(diff_lines(unified_diff(change)), sys.stdout)
    if plan.files:
        summary = line(f"would rewrite {visible(directory)}, {count(plan.changes, 'change')}")
        show([summary, *plan_lines(plan)], sys.stderr)
    else:
        show(_unchanged(directory, planned), sys.stderr)
    _show_verdicts(directory, planned, sys.stderr)


def show_result(directory: str, planned: Planned, *, can_undo: bool, verb: str = "rewrote") -> None:
    """What was changed, and what each release makes of it."""
    plan = planned.plan
    if plan.files:
        show([line(f"{verb} {visible(directory)}"), *plan_lines(plan)], sys.stdout)
    else:
        show(_unchanged(directory, planned), sys.stdout)
    _show_verdicts(directory, planned, sys.stdout)
    if plan.files and can_undo:
        show([line(f"undo with: ckptfix rewrite {visible(directory)} --undo")], sys.stdout)


def _unchanged(directory: str, planned: Planned) -> Iterator[Line]:
    return unchanged_lines(directory, planned.plan, for_releases=planned.portable is not None)


def _show_verdicts(directory: str, planned: Planned, stream: TextIO) -> None:
    show(verdict_lines(directory, planned.plan), stream)
    show(portable_lines(planned.portable), stream)
    if planned.tensors_say_more:
        show(more_lines(directory), stream)
