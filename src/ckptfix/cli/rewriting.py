"""What `ckptfix rewrite` does with a directory, in order."""

import sys

from ckptfix.checkpoint.checkpoint import load_checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.loading import open_named
from ckptfix.cli.planning import RewriteOptions, make_plan, refused, show_dry_run, show_result
from ckptfix.cli.renaming import read_written
from ckptfix.cli.streams import already_done
from ckptfix.errors import CkptfixError
from ckptfix.remote.reference import Directory
from ckptfix.report.console import line, show
from ckptfix.report.rewrite_text import forgotten_lines, output_lines
from ckptfix.rewrite.apply import apply_changes, recover, undo
from ckptfix.rewrite.forget import forget
from ckptfix.rewrite.output import make_output, require_free
from ckptfix.rewrite.store import require_whole
from ckptfix.text import visible


def run_rewrite(name: str, options: RewriteOptions) -> int:
    """Rewrite, show, undo, or propose to a repository; the exit code."""
    _require_sensible(options)
    opened = open_named(name, options.reach)
    source = opened.source
    if not isinstance(opened.reference, Directory) or not isinstance(source, DirectorySource):
        from ckptfix.cli.rewriting_remote import run_remote_rewrite

        if options.verify:
            raise CkptfixError(
                f"--verify is for directories, {visible(name)} is not one",
                advice="add --output DIR --with-weights, then run ckptfix verify DIR",
            )
        return run_remote_rewrite(opened, options)
    if options.create_pr or options.with_weights:
        option = "--create-pr" if options.create_pr else "--with-weights"
        upload = (
            "upload a directory with: hf upload ORG/NAME DIR --exclude '.ckptfix/*' --create-pr"
        )
        raise CkptfixError(
            f"{option} is for repositories of the Hub, {visible(name)} is a directory",
            advice=upload if options.create_pr else "",
        )
    return _rewrite_directory(name, source, options)


def _rewrite_directory(directory: str, source: DirectorySource, options: RewriteOptions) -> int:
    if options.undo:
        files = undo(source)
        with already_done(f"the undo in {visible(directory)} is done"):
            show([line(f"restored {', '.join(files)} in {visible(directory)}")], sys.stdout)
        return 0
    if options.forget:
        forgotten = forget(source)
        with already_done(f"{visible(directory)} can no longer be undone"):
            show(forgotten_lines(directory, forgotten), sys.stdout)
        return 0
    free = require_free(options.output, source.root) if options.output is not None else None
    if options.dry_run or free is not None:
        require_whole(source.root)
    else:
        _complete_interrupted(source, directory)
    planned = make_plan(load_checkpoint(source, directory), options)
    if refused(directory, planned, options):
        return 1
    written = read_written(source, planned.tensors, elsewhere=free is not None)
    if options.dry_run:
        show_dry_run(directory, planned, written)
        return 1 if options.exit_code and planned.changes_something else 0
    changes = (*planned.plan.files, *written.changes.json_files)
    shards = written.changes.shards
    made = make_output(source, free, changes, shards) if free is not None else None
    if made is None and (changes or shards):
        apply_changes(source, changes, shards)
    target = options.output or directory
    with already_done(f"the rewrite of {visible(target)} is done"):
        show(output_lines(made) if made is not None else (), sys.stdout)
        show_result(target, planned, written, can_undo=made is None)
        return _verified(target, options) if options.verify else 0


def _verified(directory: str, options: RewriteOptions) -> int:
    from ckptfix.cli.verifying import VerifyOptions, run_verify  # a rewrite alone is quick

    show([line()], sys.stdout)
    return run_verify(directory, VerifyOptions(runtimes=options.runtimes))


def _require_sensible(options: RewriteOptions) -> None:
    asks = options.dry_run or options.exit_code or options.output is not None
    asks = asks or options.from_tensors or options.tensors or options.strategy != "auto"
    asks = asks or options.create_pr or options.verify
    asks = asks or bool(options.maps or options.mapper or options.runtimes)
    if options.undo and options.forget:
        raise CkptfixError("--undo and --forget contradict each other")
    if (options.undo or options.forget) and asks:
        raise CkptfixError(f"{'--undo' if options.undo else '--forget'} takes no other option")
    if options.create_pr and options.output is not None:
        raise CkptfixError("--create-pr and --output contradict each other")
    if options.create_pr and options.tensors:
        raise CkptfixError(
            "--create-pr and --tensors contradict each other",
            advice="a pull request changes JSON files only; use --output DIR --with-weights",
        )
    if options.create_pr and options.reach.offline:
        raise CkptfixError("--create-pr and --offline contradict each other")
    if options.with_weights and options.output is None:
        raise CkptfixError("--with-weights is for --output", advice="add --output DIR")
    if options.exit_code and not options.dry_run:
        raise CkptfixError("--exit-code is for --dry-run", advice="add --dry-run")
    if options.verify:
        if options.dry_run:
            raise CkptfixError("--dry-run writes nothing that --verify could run on")
        from ckptfix.cli.verifying import require_torch

        require_torch()  # before anything is written


def _complete_interrupted(source: DirectorySource, directory: str) -> None:
    recovered = recover(source)
    if recovered is not None:
        what = "undo" if recovered.undo else "rewrite"
        files = ", ".join(recovered.files)
        show(
            [line(f"completed an interrupted {what} of {files} in {visible(directory)}")],
            sys.stderr,
        )
