"""`ckptfix rewrite`: from flags to operations, and what is printed of them."""

import sys
from dataclasses import replace

from ckptfix.cli.listening import listening
from ckptfix.cli.rewrite_flags import RewriteFlags, require_possible, require_sensible
from ckptfix.cli.streams import already_done
from ckptfix.operations.loading import open_named
from ckptfix.operations.plan import RewritePlan, plan_rewrite_of
from ckptfix.operations.rewrite import (
    RewriteResult,
    apply,
    complete,
    in_place,
    require_free_output,
    write_output,
)
from ckptfix.progress import Listener
from ckptfix.remote.opening import Opened
from ckptfix.remote.reference import Directory, Repository
from ckptfix.report.commands import suggested
from ckptfix.report.console import line, show, show_exactly
from ckptfix.report.diff_text import diff_lines
from ckptfix.report.pull_request import ProposedChange, body_of, title_of
from ckptfix.report.rewrite_text import (
    after_lines,
    done_lines,
    dry_run_lines,
    forgotten_lines,
    nothing_lines,
    output_lines,
    refusal_lines,
)
from ckptfix.report.tensors_text import tensor_diff_lines
from ckptfix.rewriting.apply import undo
from ckptfix.rewriting.diff import unified_diff
from ckptfix.rewriting.forget import forget
from ckptfix.rewriting.tensors.written import NOTHING_ELSE, Written, read_written
from ckptfix.text import visible

__all__ = ["RewriteFlags", "run_rewrite"]


def run_rewrite(name: str, flags: RewriteFlags) -> int:
    """Rewrite, show, undo, or propose to a repository; the exit code.

    Raises:
        CkptfixError: the flags contradict each other, or it cannot be done.
    """
    require_sensible(flags)
    if flags.verify:
        from ckptfix.operations.verify import require_torch

        require_torch()  # before anything is written
    with listening() as listener:
        opened = open_named(name, flags.policy, listener)
        require_possible(opened, flags)
        _require_token(opened, flags)
        if flags.undo:
            return _undo(opened)
        if flags.forget:
            return _forget(opened)
        return _rewrite(opened, flags, listener)


def _require_token(opened: Opened, flags: RewriteFlags) -> None:
    if flags.create_pr and not flags.dry_run and isinstance(opened.reference, Repository):
        from ckptfix.remote.publish import require_token

        require_token(opened.reference)


def _undo(opened: Opened) -> int:
    files = undo(in_place(opened))
    name = visible(str(opened.reference))
    with already_done(f"the undo of {name} is done"):
        show([line(f"restored {', '.join(files)} in {name}")], sys.stdout)
    return 0


def _forget(opened: Opened) -> int:
    name = str(opened.reference)
    forgotten = forget(in_place(opened))
    with already_done(f"{visible(name)} can no longer be undone"):
        show(forgotten_lines(name, forgotten), sys.stdout)
    return 0


def _rewrite(opened: Opened, flags: RewriteFlags, listener: Listener) -> int:
    name = str(opened.reference)
    local = isinstance(opened.reference, Directory)
    if flags.output is not None:
        require_free_output(opened, flags.output)
    elif local and not flags.dry_run:
        _complete_interrupted(name, opened)
    planned = plan_rewrite_of(opened, flags.request(), listener)
    if planned.refused:
        stream = sys.stderr if flags.dry_run else sys.stdout
        show(refusal_lines(name, planned.plan, planned.harmed), stream)
        return 1
    if flags.create_pr and planned.plan.files and isinstance(opened.reference, Repository):
        _propose(opened.reference, planned, dry_run=flags.dry_run)
    elif flags.dry_run or flags.create_pr:
        elsewhere = flags.output is not None or not local
        written = read_written(opened.source, planned.tensors, elsewhere=elsewhere)
        _show_dry_run(name, planned, written)
    else:
        return _carry_out(name, planned, flags, listener)
    return 1 if flags.exit_code and planned.changes_something else 0


def _complete_interrupted(name: str, opened: Opened) -> None:
    recovered = complete(opened)
    if recovered is not None:
        what = "undo" if recovered.undo else "rewrite"
        files = ", ".join(recovered.files)
        done = f"completed an interrupted {what} of {files} in {visible(name)}"
        show([line(done)], sys.stderr)


def _carry_out(name: str, planned: RewritePlan, flags: RewriteFlags, listener: Listener) -> int:
    if flags.output is None:
        made = apply(planned, listener)
    else:
        name = flags.output
        made = write_output(planned, name, with_weights=flags.with_weights, listener=listener)
    with already_done(f"the rewrite of {visible(name)} is done"):
        show(output_lines(made.output) if made.output is not None else (), sys.stdout)
        _show_result(name, made, can_undo=made.output is None)
        return _verified(name, flags) if flags.verify else 0


def _verified(directory: str, flags: RewriteFlags) -> int:
    from ckptfix.cli.verifying import VerifyFlags, run_verify  # a rewrite alone is quick

    show([line()], sys.stdout)
    return run_verify(directory, VerifyFlags(runtimes=flags.runtimes))


def _propose(repository: Repository, planned: RewritePlan, *, dry_run: bool) -> None:
    commit = planned.opened.commit
    change = ProposedChange(planned, repository.name, commit)
    title, body = title_of(change), body_of(change)
    if dry_run:
        _show_dry_run(str(repository), planned)
        show([line("title: ", (title, "bold")), *map(line, body.splitlines())], sys.stderr)
        return
    from ckptfix.remote.publish import open_pull_request

    files = {file.file: file.after.encode("utf-8") for file in planned.plan.files}
    made = open_pull_request(repository, commit, files, title, body)
    name = str(repository)
    with already_done(f"opened {made.url}"):
        show([line(f"proposed to {visible(name)}")], sys.stdout)
        show([*done_lines(planned, NOTHING_ELSE), *after_lines(name, planned)], sys.stdout)
        check = suggested("check", str(replace(repository, revision=made.revision)))
        show([line("opened ", (made.url, "bold")), line(f"check it with: {check}")], sys.stdout)


def _show_dry_run(name: str, planned: RewritePlan, written: Written = NOTHING_ELSE) -> None:
    """The patch alone on stdout, so that it can be piped; the summary on stderr."""
    show(tensor_diff_lines(written.changes), sys.stdout)
    for patch in map(unified_diff, planned.plan.files):
        show_exactly(patch, diff_lines, sys.stdout)
    show(dry_run_lines(name, planned, written), sys.stderr)
    show(after_lines(name, planned), sys.stderr)


def _show_result(name: str, result: RewriteResult, *, can_undo: bool) -> None:
    """What was changed, and what each release makes of it."""
    planned = result.plan
    if not planned.changes_something:
        show([*nothing_lines(name, planned), *after_lines(name, planned)], sys.stdout)
        return
    show([line(f"rewrote {visible(name)}"), *done_lines(planned, result.written)], sys.stdout)
    show(after_lines(name, planned), sys.stdout)
    if can_undo:
        show([line(f"undo with: {suggested('rewrite', name, '--undo')}")], sys.stdout)
