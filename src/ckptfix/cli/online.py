"""`check --online`: quantization while loading."""

import sys
from collections.abc import Sequence

from ckptfix.cli.listening import listening
from ckptfix.errors import CkptfixError
from ckptfix.operations.online import online
from ckptfix.report.console import show, write_plain
from ckptfix.report.online_text import online_json, online_lines


def check_online(
    names: Sequence[str],
    method: str,
    *,
    runtimes: Sequence[str],
    as_json: bool,
    revision: str | None,
    offline: bool,
    refresh: bool,
) -> int:
    """Show what each release would do; the exit code.

    Raises:
        CkptfixError: more than one checkpoint is given, or it cannot be read.
    """
    if len(names) != 1:
        raise CkptfixError("--online takes one checkpoint")
    with listening() as listener:
        answers = online(
            names[0],
            method=method,
            runtimes=runtimes,
            revision=revision,
            offline=offline,
            refresh=refresh,
            listener=listener,
        )
    if as_json:
        write_plain(online_json(names[0], method, answers), sys.stdout)
    else:
        show(online_lines(names[0], method, answers), sys.stdout)
    return 0 if all(answer.works for answer in answers) else 1
