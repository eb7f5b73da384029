"""A process that dies for real between two system calls."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from ckptfix.__main__ import main

STEPS = (
    "open",
    "fsync",
    "replace",
    "mkdir",
    "rmdir",
    "unlink",
    "pwrite",
    "copy_file_range",
    "utime",
)


def killed_at(step: int, *arguments: object) -> int:
    """Run the command line in a child process that is killed for real at its N-th durable step.

    Returns the exit code, or minus the number of the signal.
    """

    def command() -> None:
        sys.argv = ["ckptfix", *map(str, arguments)]
        main()

    return call_killed_at(step, command)


def call_killed_at(step: int, function: Callable[[], object]) -> int:
    """The same for a function."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return call

        silent = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2):
            os.dup2(silent, descriptor)
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        try:
            function()
        except SystemExit as done:
            os._exit(done.code if isinstance(done.code, int) else 1)
        else:
            os._exit(0)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
