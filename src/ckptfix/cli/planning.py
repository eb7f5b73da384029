"""From the options of `ckptfix rewrite` to a plan, and the plan on the screen."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TextIO

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.cli.judging import asked_targets, judge_all, known_targets, without_releases
from ckptfix.cli.loading import name_map_for
from ckptfix.cli.renaming import NOTHING_ELSE, Written, harmed_by, plan_names_of_tensors
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
from ckptfix.report.tensors_text import no_tensor_lines, tensor_diff_lines, tensor_lines
from ckptfix.rewrite.plan import Plan, plan_rewrite, rewritten
from ckptfix.rewrite.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewrite.rebuild.plan import join_plans, plan_rebuild
from ckptfix.rewrite.tensors.plan import TensorPlan
from ckptfix.rules.folded import holds_for_all
from ckptfix.runtimes.name_maps import damage_map
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.text import visible


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
    tensors: bool = False
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
    harmed: tuple[TargetVerdict, ...]
    """Releases that the plan would break."""
    tensors: TensorPlan | None
    """None without --tensors."""
    tensors_say_more: bool = False

    @property
    def changes_something(self) -> bool:
        """True when a file would be written."""
        return bool(self.plan.files) or bool(self.tensors and self.tensors.renames.new_names)

    @property
    def is_refused(self) -> bool:
        """True when nothing may be written, because something would get worse."""
        return bool(self.plan.refusals or self.harmed)

    @property
    def helps(self) -> bool:
        """True when something is written, and less is wrong then."""
        if self.is_refused or not self.changes_something:
            return False
        portable = self.portable
        rights = portable is not None and portable.failing_after < portable.failing_before
        return rights or len(self.plan.findings_after) < len(self.plan.findings_before)

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
    own = options.maps or options.mapper or options.from_tensors or options.tensors
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
    planned = _plan(checkpoint, options)
    if options.from_tensors or not planned.leaves_faults:
        return planned
    named = planned.tensors.checkpoint if planned.tensors else checkpoint
    next_ = replace(options, from_tensors=True, tensors=False, maps=(), mapper=None)
    more = _plan(rewritten(named, planned.plan.files), next_)
    return replace(planned, tensors_say_more=more.helps)


def _plan(checkpoint: Checkpoint, options: RewriteOptions) -> Planned:
    tensors = None
    maps, mapper = options.maps, options.mapper
    if options.tensors:
        tensors = plan_names_of_tensors(checkpoint, maps, mapper)
        maps, mapper = (), None
    named = tensors.checkpoint if tensors else checkpoint
    name_map = name_map_for(named, maps, mapper)
    targets = asked_targets(options.runtimes)
    judge_all(named, targets)  # complains of releases that cannot be asked
    if targets:
        name_map = without_releases(name_map)
    elif not maps and not mapper:
        targets = known_targets(named)
    rebuilt = plan_rebuild(named, name_map) if options.from_tensors else ()
    start = rewritten(named, rebuilt)
    portable = None
    if targets:
        portable = plan_for_targets(start, name_map, targets, options.strategy)
        plan = portable.plan
    else:
        # A map that no release is known to need renames nothing that nobody asked it to rename.
        unasked = not maps and not mapper and not name_map.required
        plan = plan_rewrite(start, damage_map() if unasked else name_map, spelling=name_map)
    if rebuilt:
        plan = join_plans(named, name_map, rebuilt, plan)
        portable = portable and replace(portable, plan=plan, before=judge_all(named, targets))
    planned = Planned(plan, portable, portable.harmed if portable else (), tensors)
    return _with_tensors(checkpoint, planned, targets)


def _with_tensors(checkpoint: Checkpoint, planned: Planned, targets: tuple[Target, ...]) -> Planned:
    """The plan and the new names of tensors as one, from the checkpoint as it is."""
    tensors, portable = planned.tensors, planned.portable
    if tensors is None or not tensors.changes_something:
        return planned
    plan = tensors.joined_with(planned.plan)
    harmed = (*harmed_by(tensors, targets), *planned.harmed)
    if portable:
        portable = replace(portable, plan=plan, before=judge_all(checkpoint, targets))
    return replace(planned, plan=plan, portable=portable, harmed=harmed)


def refused(name: str, planned: Planned, options: RewriteOptions) -> bool:
    """True, and said why, when the plan would do harm."""
    if not planned.is_refused:
        return False
    stream = sys.stderr if options.dry_run else sys.stdout
    show(refusal_lines(name, planned.plan, planned.harmed), stream)
    return True


def show_dry_run(directory: str, planned: Planned, written: Written = NOTHING_ELSE) -> None:
    """The patch alone on stdout, so that it can be piped; the summary on stderr."""
    plan = planned.plan
    show(tensor_diff_lines(written.changes), sys.stdout)
    for change in plan.files:
        show_exactly(diff_lines(unified_diff(change)), sys.stdout)
    if planned.changes_something:
        number = plan.changes + sum(len(shard.renames) for shard in written.changes.shards)
        summary = line(f"would rewrite {visible(directory)}, {count(number, 'change')}")
        show([summary, *_done_lines(planned, written)], sys.stderr)
    else:
        show(_unchanged(directory, planned), sys.stderr)
    _show_verdicts(directory, planned, sys.stderr)


def show_result(
    directory: str,
    planned: Planned,
    written: Written = NOTHING_ELSE,
    *,
    can_undo: bool,
    verb: str = "rewrote",
) -> None:
    """What was changed, and what each release makes of it."""
    if planned.changes_something:
        show([line(f"{verb} {visible(directory)}"), *_done_lines(planned, written)], sys.stdout)
    else:
        show(_unchanged(directory, planned), sys.stdout)
    _show_verdicts(directory, planned, sys.stdout)
    if planned.changes_something and can_undo:
        show([line(f"undo with: ckptfix rewrite {visible(directory)} --undo")], sys.stdout)


def _done_lines(planned: Planned, written: Written) -> Iterator[Line]:
    yield from tensor_lines(written.changes, written.copied)
    yield from plan_lines(planned.plan)
    yield from _no_tensors(planned)


def _unchanged(directory: str, planned: Planned) -> Iterator[Line]:
    yield from unchanged_lines(directory, planned.plan, for_releases=planned.portable is not None)
    yield from _no_tensors(planned)


def _no_tensors(planned: Planned) -> Iterator[Line]:
    if planned.tensors is not None and not planned.tensors.changes_something:
        yield from no_tensor_lines(planned.tensors.renames.name_map.origin)


def _show_verdicts(directory: str, planned: Planned, stream: TextIO) -> None:
    show(verdict_lines(directory, planned.plan), stream)
    show(portable_lines(planned.portable), stream)
    if planned.tensors_say_more:
        show(more_lines(directory), stream)
