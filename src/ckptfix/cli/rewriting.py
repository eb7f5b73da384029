"""`ckptfix rewrite`: each checkpoint separately, then the exit code for all."""

import sys
from collections.abc import Sequence

from ckptfix.cli.ending import stopped
from ckptfix.cli.listening import listening
from ckptfix.cli.rewrite_flags import RewriteFlags, require_sensible
from ckptfix.cli.rewriting_one import RewriteCall
from ckptfix.cli.streams import already_done
from ckptfix.errors import CkptfixError, StoppedError
from ckptfix.operations.loading import with_name
from ckptfix.report.console import line, show, write_plain
from ckptfix.report.rewrite_json import rewrite_json
from ckptfix.report.rewrite_report import Outcome, Rewritten, summary_lines
from ckptfix.report.spelling import spelled
from ckptfix.text import visible


def run_rewrite(names: Sequence[str], flags: RewriteFlags) -> int:
    """Rewrite, show, undo, or propose to repositories; the exit code: the worst.

    Raises:
        CkptfixError: the flags contradict each other, or the only checkpoint cannot be rewritten.
    """
    require_sensible(names, flags)
    if flags.verify:
        from ckptfix.operations.verify import require_torch

        require_torch()  # before anything is written
    unlike = tuple(dict.fromkeys(names))
    several = len(unlike) > 1
    done: list[Rewritten] = []
    with listening() as listener, stopped(lambda: _written(done, flags)):
        call = RewriteCall(flags, listener)
        for name in unlike:
            if several and not flags.json:
                show([line((f"== {visible(name)}", "bold"))], sys.stdout)
            done.append(_tried(call, name) if several or flags.json else call.run(name))
            if several and not flags.json:
                show([line()], sys.stdout)
    with already_done(_written(done)):
        if flags.json:
            write_plain(rewrite_json(done), sys.stdout)
        elif several:
            show(summary_lines(tuple(done)), sys.stdout)
    return max(one.exit_code for one in done)


def _written(done: Sequence[Rewritten], flags: RewriteFlags | None = None) -> str:
    """What was written, as a phrase; empty if nothing was.

    Args:
        done: the checkpoints whose turn is over.
        flags: those of the one that was interrupted, if one was.
    """
    rewrote = [visible(one.name) for one in done if one.directory or one.pull_request]
    restored = [visible(one.name) for one in done if one.outcome is Outcome.RESTORED]
    forgot = [visible(one.name) for one in done if one.outcome is Outcome.FORGOTTEN]
    phrases = [f"the rewrite of {', '.join(rewrote)} is done"] if rewrote else []
    phrases += [f"the undo of {', '.join(restored)} is done"] if restored else []
    phrases += [f"{', '.join(forgot)} can no longer be undone"] if forgot else []
    if flags is not None and flags.create_pr and not flags.dry_run:
        phrases.append("the pull request may have been opened")
    return "; ".join(phrases)


def _tried(call: RewriteCall, name: str) -> Rewritten:
    """The outcome for one checkpoint; a failure does not stop the others."""
    try:
        return call.run(name)
    except StoppedError:
        raise
    except CkptfixError as error:
        message = spelled(with_name(name, error), name)
        show([line(f"error: {visible(message)}")], sys.stderr)
        return Rewritten(name, Outcome.FAILED, 2, error=message)
