"""`ckptfix rewrite`."""

import sys
from typing import Annotated

import typer

from ckptfix.checkpoint.checkpoint import load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.options import CheckpointArgument, MapOption, MapperOption, name_map_for
from ckptfix.errors import CkptfixError
from ckptfix.names import visible
from ckptfix.report.console import count, line, show
from ckptfix.report.diff import diff_lines, unified_diff
from ckptfix.report.text import (
    output_lines,
    plan_lines,
    refusal_lines,
    unchanged_lines,
    verdict_lines,
)
from ckptfix.rewrite.apply import apply_changes, recover, require_own_files, require_whole, undo
from ckptfix.rewrite.output import make_output, require_free
from ckptfix.rewrite.plan import Plan, plan_rewrite

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Write nothing; print a diff that git can apply.")
]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="With --dry-run: exit 1 if something would change.")
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Leave the checkpoint alone and make a repaired one here; weights are linked.",
        show_default=False,
    ),
]
UndoOption = Annotated[
    bool, typer.Option("--undo", help="Restore the files as they were before the first rewrite.")
]


def rewrite(
    directory: CheckpointArgument,
    dry_run: DryRunOption = False,
    exit_code: ExitCodeOption = False,
    maps: MapOption = None,
    mapper: MapperOption = None,
    output: OutputOption = None,
    undo_: UndoOption = False,
) -> None:
    """Rename modules in the metadata so that the runtime finds them. Tensors are not touched.

    The result is verified against the tensors before a byte is written. Exit code 0 if done or
    nothing to do, 1 if the rewrite would do harm and was refused, 2 if it could not run.

    Example: ckptfix rewrite ./Nemotron-Nano-VL-12B-V2-NVFP4 --dry-run
    """
    _require_sensible(dry_run, exit_code, output, undo_, bool(maps or mapper))
    source = DirectorySource.open(directory)
    if undo_:
        files = undo(source)
        show([line(f"restored {', '.join(files)} in {visible(directory)}")], sys.stdout)
        return
    free = require_free(source, output) if output is not None else None
    if dry_run or free is not None:
        require_whole(source)
    else:
        _complete_interrupted(source, directory)
    checkpoint = load_checkpoint(source, directory)
    plan = plan_rewrite(checkpoint, name_map_for(checkpoint, maps, mapper))
    if plan.refusals:
        show(refusal_lines(directory, plan), sys.stderr if dry_run else sys.stdout)
        raise typer.Exit(1)
    if dry_run:
        _show_dry_run(directory, plan)
        raise typer.Exit(1 if exit_code and plan.files else 0)
    if free is not None:
        show(output_lines(make_output(source, free, plan.files)), sys.stdout)
    elif plan.files:
        require_own_files(source, [change.file for change in plan.files])
        apply_changes(source, plan.files)
    _show_result(output or directory, plan, can_undo=free is None)


def _require_sensible(
    dry_run: bool, exit_code: bool, output: str | None, undo_: bool, mapped: bool
) -> None:
    if undo_ and (dry_run or exit_code or mapped or output is not None):
        raise CkptfixError("--undo takes no other option")
    if exit_code and not dry_run:
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


def _show_dry_run(directory: str, plan: Plan) -> None:
    """The patch alone on stdout, so that it can be piped; the summary on stderr."""
    if not plan.files:
        show(unchanged_lines(directory, plan), sys.stderr)
    for change in plan.files:
        show(diff_lines(unified_diff(change)), sys.stdout)
    if plan.files:
        summary = line(f"would rewrite {visible(directory)}, {count(plan.changes, 'name')}")
        show([summary, *plan_lines(plan)], sys.stderr)
    show(verdict_lines(directory, plan), sys.stderr)


def _show_result(directory: str, plan: Plan, *, can_undo: bool) -> None:
    if plan.files:
        show([line(f"rewrote {visible(directory)}"), *plan_lines(plan)], sys.stdout)
    else:
        show(unchanged_lines(directory, plan), sys.stdout)
    show(verdict_lines(directory, plan), sys.stdout)
    if plan.files and can_undo:
        show([line(f"undo with: ckptfix rewrite {visible(directory)} --undo")], sys.stdout)
