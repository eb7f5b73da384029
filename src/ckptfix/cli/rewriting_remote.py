"""What `ckptfix rewrite` does with a checkpoint that is not a directory."""

import sys
from dataclasses import replace
from pathlib import Path

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.cli.loading import load_opened
from ckptfix.cli.planning import (
    Planned,
    RewriteOptions,
    make_plan,
    refused,
    show_dry_run,
    show_result,
)
from ckptfix.cli.renaming import read_written
from ckptfix.commands import suggested
from ckptfix.errors import CkptfixError
from ckptfix.remote.opening import Opened
from ckptfix.remote.reference import Repository
from ckptfix.report.console import line, show
from ckptfix.report.progress import watching
from ckptfix.report.pull_request import ProposedChange, body_of, title_of
from ckptfix.report.rewrite_text import output_lines
from ckptfix.rewrite.output import WEIGHT_SUFFIXES, make_metadata_output, make_output, require_free
from ckptfix.text import visible


def run_remote_rewrite(opened: Opened, options: RewriteOptions) -> int:
    """Show, make a directory, or open a pull request; the exit code.

    Raises:
        CkptfixError: there is nothing that can be done to the checkpoint where it is.
    """
    name = str(opened.reference)
    _require_possible(opened, options)
    free = require_free(options.output) if options.output is not None else None
    with watching(sys.stderr) as watch:
        checkpoint = load_opened(opened, watch)
    planned = make_plan(checkpoint, options)
    if refused(name, planned, options):
        return 1
    reference = opened.reference
    if options.create_pr and planned.plan.files and isinstance(reference, Repository):
        _propose(reference, opened.commit, planned, dry_run=options.dry_run)
    elif options.dry_run or options.create_pr:
        written = read_written(opened.source, planned.tensors, elsewhere=True)
        show_dry_run(name, planned, written)
    elif free is not None:
        _make(opened, checkpoint, planned, free, options)
    return 1 if options.exit_code and planned.changes_something else 0


def _require_possible(opened: Opened, options: RewriteOptions) -> None:
    shown = visible(str(opened.reference))
    is_repository = isinstance(opened.reference, Repository)
    if options.undo:
        raise CkptfixError(f"--undo is for directories, not for {shown}")
    if not is_repository and (options.create_pr or options.with_weights):
        option = "--create-pr" if options.create_pr else "--with-weights"
        raise CkptfixError(f"{option} is for repositories of the Hub, not for {shown}")
    if not (options.create_pr or options.dry_run or options.output is not None):
        either = ", or --create-pr to propose the change" if is_repository else ""
        raise CkptfixError(
            f"{shown}: is not rewritten where it is",
            advice=f"use --output DIR to get the repaired files{either}",
        )
    if options.create_pr and not options.dry_run and isinstance(opened.reference, Repository):
        from ckptfix.remote.publish import require_token

        require_token(opened.reference)


def _propose(repository: Repository, commit: str, planned: Planned, *, dry_run: bool) -> None:
    change = ProposedChange(planned.plan, planned.portable, repository.name, commit)
    title, body = title_of(change), body_of(change)
    if dry_run:
        show_dry_run(str(repository), planned)
        show([line("title: ", (title, "bold")), *map(line, body.splitlines())], sys.stderr)
        return
    from ckptfix.remote.publish import open_pull_request

    files = {file.file: file.after.encode("utf-8") for file in planned.plan.files}
    made = open_pull_request(repository, commit, files, title, body)
    show_result(str(repository), planned, can_undo=False, verb="proposed to")
    check = suggested("check", str(replace(repository, revision=made.revision)))
    show([line("opened ", (made.url, "bold")), line(f"check it with: {check}")], sys.stdout)


def _make(
    opened: Opened, checkpoint: Checkpoint, planned: Planned, free: Path, options: RewriteOptions
) -> None:
    source = opened.source
    written = read_written(source, planned.tensors, elsewhere=True)
    files, shards = (*planned.plan.files, *written.changes.json_files), written.changes.shards
    fetched = isinstance(source, DirectorySource)
    if options.with_weights and not fetched and isinstance(opened.reference, Repository):
        from ckptfix.remote.download import download

        stored = set(checkpoint.table.shard_files)
        names = [n for n in source.names() if n in stored or not n.endswith(WEIGHT_SUFFIXES)]
        source = download(opened.reference, opened.commit, names)
    if isinstance(source, DirectorySource):
        made = make_output(source, free, files, shards)
    elif shards:
        raise CkptfixError(
            f"--tensors changes shard files, and those of {visible(str(opened.reference))} are not "
            "fetched",
            advice="add --with-weights",
        )
    else:
        made = make_metadata_output(source, free, files)
    show(output_lines(made), sys.stdout)
    show_result(str(free), planned, written, can_undo=False)
