"""What `ckptfix rewrite` does, in order."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TextIO

from ckptfix.checkpoint.checkpoint import Checkpoint, load_checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.judging import asked_targets, judge_all, known_targets, without_releases
from ckptfix.cli.loading import name_map_for
from ckptfix.errors import CkptfixError
from ckptfix.names import visible
from ckptfix.report.console import Line, count, line, show
from ckptfix.report.diff import diff_lines, unified_diff
from ckptfix.report.rewrite_text import (
    more_lines,
    output_lines,
    plan_lines,
    portable_lines,
    refusal_lines,
    unchanged_lines,
    verdict_lines,
)
from ckptfix.rewrite.apply import apply_changes, recover, require_own_files, undo
from ckptfix.rewrite.output import make_output, require_free
from ckptfix.rewrite.plan import Plan, plan_rewrite, rewritten
from ckptfix.rewrite.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewrite.rebuild.plan import join_plans, plan_rebuild
from ckptfix.rewrite.store import require_whole
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


def run_rewrite(directory: str, options: RewriteOptions) -> int:
    """Rewrite, show or undo; the exit code."""
    _require_sensible(options)
    source = DirectorySource.open(directory)
    if options.undo:
        files = undo(source)
        show([line(f"restored {', '.join(files)} in {visible(directory)}")], sys.stdout)
        return 0
    free = require_free(source, options.output) if options.output is not None else None
    if options.dry_run or free is not None:
        require_whole(source.root)
    else:
        _complete_interrupted(source, directory)
    checkpoint = load_checkpoint(source, directory)
    planned = _plan(checkpoint, options)
    plan = planned.plan
    if plan.refusals or planned.harmed:
        stream = sys.stderr if options.dry_run else sys.stdout
        show(refusal_lines(directory, plan, planned.harmed), stream)
        return 1
    if options.dry_run:
        _show_dry_run(directory, planned)
        return 1 if options.exit_code and plan.files else 0
    if free is not None:
        show(output_lines(make_output(source, free, plan.files)), sys.stdout)
    elif plan.files:
        require_own_files(source, [change.file for change in plan.files])
        apply_changes(source, plan.files)
    _show_result(options.output or directory, planned, can_undo=free is None)
    return 0


@dataclass(frozen=True)
class _Planned:
    plan: Plan
    portable: PortablePlan | None
    """None where no release is known to ask."""
    tensors_say_more: bool

    @property
    def harmed(self) -> tuple[TargetVerdict, ...]:
        return self.portable.harmed if self.portable else ()

    @property
    def leaves_faults(self) -> bool:
        after = self.portable.after if self.portable else ()
        return bool(self.plan.findings_after) or any(verdict.fails for verdict in after)


def _plan(checkpoint: Checkpoint, options: RewriteOptions) -> _Planned:
    """The plan, made for the folded checkpoint if that says all."""
    own = options.maps or options.mapper or options.from_tensors
    if checkpoint.folded is not checkpoint and not own:
        planned = _plan_as_it_is(checkpoint.folded, options)
        if _holds_for_all(checkpoint.folded, planned):
            return planned
    return _plan_as_it_is(checkpoint, options)


def _holds_for_all(folded: Checkpoint, planned: _Planned) -> bool:
    plan, portable = planned.plan, planned.portable
    findings = (*plan.findings_before, *plan.findings_after)
    verdicts = (*portable.before, *portable.after) if portable else ()
    names = [s.name for m in folded.metadata for s in m.statements if EXPERTS in s.name]
    renames = any(plan.name_map.mapper.map(name) != name for name in names)
    return not plan.refusals and not renames and holds_for_all(findings, verdicts)


def _plan_as_it_is(checkpoint: Checkpoint, options: RewriteOptions) -> _Planned:
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
    planned = _Planned(plan, portable, tensors_say_more=False)
    if options.from_tensors or not planned.leaves_faults:
        return planned
    return replace(planned, tensors_say_more=bool(plan_rebuild(checkpoint, name_map)))


def _require_sensible(options: RewriteOptions) -> None:
    asks = options.dry_run or options.exit_code or options.output is not None
    asks = asks or options.from_tensors or options.strategy != "auto"
    if options.undo and (asks or options.maps or options.mapper or options.runtimes):
        raise CkptfixError("--undo takes no other option")
    if options.exit_code and not options.dry_run:
        raise CkptfixError("--exit-code is for --dry-run", advice="add --dry-run")


def _complete_interrupted(source: DirectorySource, directory: str) -> None:
    recovered = recover(source)
    if recovered is not None:
        what = "undo" if recovered.undo else "rewrite"
        files = ", ".join(recovered.files)
        show(
            [line(f"completed an interrupted {what} of {files} in {visible(directory)}")],
            sys.stderr,
        )


def _show_dry_run(directory: str, planned: _Planned) -> None:
    """The patch alone on stdout, so that it can be piped; the summary on stderr."""
    plan = planned.plan
    for change in plan.files:
        show(diff_lines(unified_diff(change)), sys.stdout)
    if plan.files:
        summary = line(f"would rewrite {visible(directory)}, {count(plan.changes, 'change')}")
        show([summary, *plan_lines(plan)], sys.stderr)
    else:
        show(_unchanged(directory, planned), sys.stderr)
    _show_verdicts(directory, planned, sys.stderr)


def _show_result(directory: str, planned: _Planned, *, can_undo: bool) -> None:
    plan = planned.plan
    if plan.files:
        show([line(f"rewrote {visible(directory)}"), *plan_lines(plan)], sys.stdout)
    else:
        show(_unchanged(directory, planned), sys.stdout)
    _show_verdicts(directory, planned, sys.stdout)
    if plan.files and can_undo:
        show([line(f"undo with: ckptfix rewrite {visible(directory)} --undo")], sys.stdout)


def _unchanged(directory: str, planned: _Planned) -> Iterator[Line]:
    return unchanged_lines(directory, planned.plan, for_releases=planned.portable is not None)


def _show_verdicts(directory: str, planned: _Planned, stream: TextIO) -> None:
    show(verdict_lines(directory, planned.plan), stream)
    show(portable_lines(planned.portable), stream)
    if planned.tensors_say_more:
        show(more_lines(directory), stream)
