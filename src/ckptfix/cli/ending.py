"""How a run of the command line ends: with an exit code, and without delay."""

import atexit
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from ckptfix.errors import CkptfixError, reason_of
from ckptfix.report.console import line, show
from ckptfix.text import visible


def exit_code(run: Callable[[], int]) -> int:
    """Run to the end; every expected failure is one sentence and exit code 2."""
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except CkptfixError as error:
        return _failed(f"error: {visible(_spelled(error))}")
    except OSError as error:  # a file whose failure nobody expected
        where = f"{visible(str(error.filename))}: " if error.filename is not None else ""
        return _failed(f"error: {where}{visible(reason_of(error))}")
    except MemoryError as error:
        error.__traceback__ = None  # its frames keep the memory in use
        return _failed("error: out of memory")
    except KeyboardInterrupt:
        return _failed("interrupted", 130)


def _spelled(error: CkptfixError) -> str:
    from ckptfix.report.spelling import spelled

    return spelled(str(error))


def _failed(sentence: str, code: int = 2) -> int:
    show([line(sentence)], sys.stderr)
    return code


def leave(code: int) -> NoReturn:
    """End the process without freeing its objects.

    Freeing them one by one takes a tenth of the time of a small check, and a second for a million
    tensors. Everything has been written by now; functions registered with atexit still run.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does, in the same order
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
