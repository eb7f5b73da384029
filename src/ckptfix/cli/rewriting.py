"""What `ckptfix rewrite` does, in order."""

import sys
from dataclasses import dataclass

from ckptfix.checkpoint.checkpoint import Checkpoint, load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.judging import asked_targets, judge_all
from ckptfix.cli.loading import name_map_for
from ckptfix.errors import CkptfixError
from ckptfix.names import visible
from ckptfix.report.console import count, line, show
from ckptfix.report.diff import diff_lines, unified_diff
from ckptfix.report.rewrite_text import (
    output_lines,
    plan_lines,
    portable_lines,
    refusal_lines,
    unchanged_lines,
    verdict_lines,
)
from ckptfix.rewrite.apply import apply_changes, recover, require_own_files, undo
from ckptfix.rewrite.output import make_output, require_free
from ckptfix.rewrite.plan import Plan, plan_rewrite
from ckptfix.rewrite.portable import PortablePlan, Strategy, plan_for_targets
from ckptfix.rewrite.store import require_whole


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
    plan, portable = _plan(checkpoint, options)
    if plan.refusals or (portable and portable.harmed):
        stream = sys.stderr if options.dry_run else sys.stdout
        show(refusal_lines(directory, plan, portable.harmed if portable else ()), stream)
        return 1
    if options.dry_run:
        _show_dry_run(directory, plan, for_releases=portable is not None)
        show(portable_lines(portable), sys.stderr)
        return 1 if options.exit_code and plan.files else 0
    if free is not None:
        show(output_lines(make_output(source, free, plan.files)), sys.stdout)
    elif plan.files:
        require_own_files(source, [change.file for change in plan.files])
        apply_changes(source, plan.files)
    _show_result(
        options.output or directory, plan, can_undo=free is None, for_releases=portable is not None
    )
    show(portable_lines(portable), sys.stdout)
    return 0


def _plan(checkpoint: Checkpoint, options: RewriteOptions) -> tuple[Plan, PortablePlan | None]:
    name_map = name_map_for(checkpoint, options.maps, options.mapper)
    targets = asked_targets(options.runtimes)
    if not targets:
        return plan_rewrite(checkpoint, name_map), None
    judge_all(checkpoint, targets)  # complains of releases that cannot be asked
    portable = plan_for_targets(checkpoint, name_map, targets, options.strategy)
    return portable.plan, portable


def _require_sensible(options: RewriteOptions) -> None:
    asks = options.dry_run or options.exit_code or options.output is not None
    if options.undo and (asks or options.maps or options.mapper or options.runtimes):
        raise CkptfixError("--undo takes no other option")
    if options.exit_code and not options.dry_run:
        raise CkptfixError("--exit-code is for --dry-run", advice="add --dry-run")
    if options.strategy != "auto" and not options.runtimes:
        raise CkptfixError("--strategy is for --runtime", advice="add --runtime")


def _complete_interrupted(source: DirectorySource, directory: str) -> None:
    recovered = recover(source)
    if recovered is not None:
        what = "undo" if recovered.undo else "rewrite"
        files = ", ".join(recovered.files)
        show(
            [line(f"completed an interrupted {what} of {files} in {visible(directory)}")],
            sys.stderr,
        )


def _show_dry_run(directory: str, plan: Plan, *, for_releases: bool) -> None:
    """The patch alone on stdout, so that it can be piped; the summary on stderr."""
    if not plan.files:
        show(unchanged_lines(directory, plan, for_releases=for_releases), sys.stderr)
    for change in plan.files:
        show(diff_lines(unified_diff(change)), sys.stdout)
    if plan.files:
        summary = line(f"would rewrite {visible(directory)}, {count(plan.changes, 'name')}")
        show([summary, *plan_lines(plan)], sys.stderr)
    show(verdict_lines(directory, plan), sys.stderr)


def _show_result(directory: str, plan: Plan, *, can_undo: bool, for_releases: bool) -> None:
    if plan.files:
        show([line(f"rewrote {visible(directory)}"), *plan_lines(plan)], sys.stdout)
    else:
        show(unchanged_lines(directory, plan, for_releases=for_releases), sys.stdout)
    show(verdict_lines(directory, plan), sys.stdout)
    if plan.files and can_undo:
        show([line(f"undo with: ckptfix rewrite {visible(directory)} --undo")], sys.stdout)
