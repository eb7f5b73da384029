"""`ckptfix rewrite` of one checkpoint: from flags to operations and their output."""

import dataclasses
import sys
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.cli.rewrite_flags import RewriteFlags, require_possible
from ckptfix.cli.streams import already_done
from ckptfix.operations.check_one import kind_of
from ckptfix.operations.loading import open_named
from ckptfix.operations.overrides import ways_to_serve
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
from ckptfix.report.layout import SHELL, Block
from ckptfix.report.pull_request import ProposedChange, body_of, title_of
from ckptfix.report.rewrite_report import Outcome, Rewritten
from ckptfix.report.rewrite_text import (
    after_lines,
    done_lines,
    dry_run_lines,
    forgotten_lines,
    nothing_lines,
    output_lines,
    refusal_lines,
    unmatched_lines,
)
from ckptfix.report.serving import serving_lines
from ckptfix.report.tensors_text import tensor_diff_lines
from ckptfix.rewriting.apply import undo
from ckptfix.rewriting.diff import diff_parts
from ckptfix.rewriting.forget import forget
from ckptfix.rewriting.tensors.written import NOTHING_ELSE, Written, read_written
from ckptfix.rewriting.unmatched import unmatched_rules
from ckptfix.text import visible


class RewriteCall(Struct, frozen=True):
    """The rewrite of one checkpoint."""

    flags: RewriteFlags
    listener: Listener

    def run(self, name: str) -> Rewritten:
        """Rewrite, show, undo, or propose to a repository.

        Raises:
            CkptfixError: it cannot be done.
        """
        flags = self.flags
        opened = open_named(name, flags.policy, self.listener)
        require_possible(opened, flags)
        if flags.create_pr and not flags.dry_run and isinstance(opened.reference, Repository):
            from ckptfix.remote.publish import require_token

            require_token(opened.reference)
        if flags.undo:
            return self._undo(opened)
        if flags.forget:
            return self._forget(opened)
        return self._rewrite(opened)

    def _show(self, lines: Iterable[Block]) -> None:
        """Print to stdout, unless stdout is reserved for a JSON report."""
        if not self.flags.json:
            show(lines, sys.stdout)

    def _tell(self, lines: Iterable[Block]) -> None:
        """On stderr."""
        if not self.flags.json:
            show(lines, sys.stderr)

    def _undo(self, opened: Opened) -> Rewritten:
        files = undo(in_place(opened))
        name = str(opened.reference)
        with already_done(f"the undo of {visible(name)} is done"):
            self._show([line(f"restored {', '.join(files)} in {visible(name)}")])
        return Rewritten(name, Outcome.RESTORED, 0)

    def _forget(self, opened: Opened) -> Rewritten:
        name = str(opened.reference)
        forgotten = forget(in_place(opened))
        with already_done(f"{visible(name)} can no longer be undone"):
            self._show(forgotten_lines(name, forgotten))
        return Rewritten(name, Outcome.UNCHANGED if forgotten is None else Outcome.FORGOTTEN, 0)

    def _rewrite(self, opened: Opened) -> Rewritten:
        flags, name = self.flags, str(opened.reference)
        local = isinstance(opened.reference, Directory)
        free = None
        if flags.output is not None:
            free = require_free_output(opened, flags.output)
        elif local and not flags.dry_run and not flags.overrides:
            self._complete_interrupted(name, opened)
        planned = plan_rewrite_of(opened, flags.request(), self.listener)
        unmatched = unmatched_rules(planned, flags.request().own_map)
        made = Rewritten(
            name, Outcome.UNCHANGED, int(unmatched.all), planned=planned, unmatched=unmatched.rules
        )
        self._tell(unmatched_lines(name, made.unmatched))
        if flags.overrides:
            return self._overridden(made, planned)
        if planned.refused:
            (self._tell if flags.dry_run else self._show)(refusal_lines(name, planned))
            return replace(made, outcome=Outcome.REFUSED, exit_code=1)
        if flags.create_pr and planned.plan.files and isinstance(opened.reference, Repository):
            return self._proposed(made, opened.reference, planned)
        if flags.dry_run or flags.create_pr:
            elsewhere = flags.output is not None or not local
            written = read_written(opened.source, planned.tensors, elsewhere=elsewhere)
            self._show_dry_run(name, planned, written)
            return self._would_be(replace(made, written=written))
        result = (
            apply(planned, self.listener)
            if free is None
            else write_output(
                planned, free, with_weights=flags.with_weights, listener=self.listener
            )
        )
        return self._carried_out(made, result)

    def _overridden(self, made: Rewritten, planned: RewritePlan) -> Rewritten:
        """How it is served without changing it."""
        targets = planned.portable.before if planned.portable else ()
        ways = ways_to_serve(planned, [verdict.target for verdict in targets])
        kind = kind_of(planned.opened.reference)
        self._show(serving_lines(made.name, kind, ways))
        return replace(
            made, ways=ways, kind=kind, exit_code=int(not (ways and all(w.loads for w in ways)))
        )

    def _would_be(self, made: Rewritten) -> Rewritten:
        if made.planned is None or not made.planned.changes_something:
            return made
        return replace(
            made, outcome=Outcome.WOULD_BE_REWRITTEN, exit_code=int(self.flags.exit_code)
        )

    def _complete_interrupted(self, name: str, opened: Opened) -> None:
        recovered = complete(opened)
        if recovered is not None:
            what = "undo" if recovered.undo else "rewrite"
            files = ", ".join(recovered.files)
            done = f"completed an interrupted {what} of {files} in {visible(name)}"
            show([line(done)], sys.stderr)

    def _carried_out(self, made: Rewritten, result: RewriteResult) -> Rewritten:
        flags, output = self.flags, result.output
        name = made.name if flags.output is None else flags.output
        planned, can_undo = result.plan, output is None and result.plan.changes_something
        made = replace(
            made,
            outcome=Outcome.REWRITTEN if planned.changes_something else Outcome.UNCHANGED,
            written=result.written,
            directory=name if planned.changes_something or output is not None else "",
            can_undo=can_undo,
        )
        with already_done(f"the rewrite of {visible(name)} is done"):
            self._show(output_lines(output) if output is not None else ())
            self._show_result(name, result, can_undo=can_undo)
            if flags.verify:
                return replace(made, exit_code=_verified(name, flags) or made.exit_code)
        return made

    def _proposed(self, made: Rewritten, repository: Repository, planned: RewritePlan) -> Rewritten:
        commit, name = planned.opened.commit, str(repository)
        change = ProposedChange(planned, repository.name, commit)
        title, body = title_of(change), body_of(change)
        if self.flags.dry_run:
            self._show_dry_run(name, planned)
            self._tell([line("title: ", (title, "bold")), *map(line, body.splitlines())])
            return self._would_be(made)
        from ckptfix.remote.publish import open_pull_request

        files = {file.file: file.after for file in planned.plan.files}
        opened = open_pull_request(repository, commit, files, title, body)
        with already_done(f"opened {opened.url}"):
            self._show([line(f"proposed to {visible(name)}")])
            self._show([*done_lines(planned, NOTHING_ELSE), *after_lines(name, planned)])
            check = suggested(
                "check", str(dataclasses.replace(repository, revision=opened.revision))
            )
            self._show(
                [line("opened ", (opened.url, "bold")), line("check it with: ", (check, SHELL))]
            )
        return replace(made, outcome=Outcome.PROPOSED, pull_request=opened.url)

    def _show_dry_run(
        self, name: str, planned: RewritePlan, written: Written = NOTHING_ELSE
    ) -> None:
        """The patch alone on stdout, so that it can be piped; the summary on stderr."""
        self._show(tensor_diff_lines(written.changes))
        for change in () if self.flags.json else planned.plan.files:
            for part in diff_parts(change):
                show_exactly(part, diff_lines, sys.stdout)
        self._tell(dry_run_lines(name, planned, written))
        self._tell(after_lines(name, planned))

    def _show_result(self, name: str, result: RewriteResult, *, can_undo: bool) -> None:
        """What was changed, and whether each release loads the result."""
        planned = result.plan
        if not planned.changes_something:
            self._show([*nothing_lines(name, planned), *after_lines(name, planned)])
            return
        self._show([line(f"rewrote {visible(name)}"), *done_lines(planned, result.written)])
        self._show(after_lines(name, planned))
        if can_undo:
            self._show([line("undo with: ", (suggested("rewrite", name, "--undo"), SHELL))])


def _verified(directory: str, flags: RewriteFlags) -> int:
    from ckptfix.cli.verifying import VerifyFlags, run_verify  # a rewrite alone is quick

    show([line()], sys.stdout)
    return run_verify(directory, VerifyFlags(runtimes=flags.runtimes))
