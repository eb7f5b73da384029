"""How a run of the command line ends: with an exit code, and without delay."""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from ckptfix.errors import CkptfixError, StoppedError, reason_of
from ckptfix.report.console import line, show
from ckptfix.text import visible


def exit_code(run: Callable[[], int]) -> int:
    """Run to the end; every expected failure is one sentence and exit code 2."""
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except StoppedError as error:
        return _failed(visible(_spelled(error)), STOPPED)
    except CkptfixError as error:
        return _failed(f"error: {visible(_spelled(error))}")
    except OSError as error:  # a file whose failure nobody expected
        where = f"{visible(str(error.filename))}: " if error.filename is not None else ""
        return _failed(f"error: {where}{visible(reason_of(error))}")
    except MemoryError as error:
        error.__traceback__ = None  # its frames keep the memory in use
        return _failed("error: out of memory")
    except KeyboardInterrupt:
        return _failed(NOTHING_WRITTEN, STOPPED)


STOPPED: Final = 130
"""What a shell makes of a process that SIGINT ended."""
NOTHING_WRITTEN: Final = "interrupted; nothing was written"


@contextmanager
def stopped(what_was_written: Callable[[], str] = str) -> Iterator[None]:
    """SIGINT as an error: Typer ends without a word, or with an exit code of its own.

    Args:
        what_was_written: a phrase; empty if nothing was.

    Raises:
        StoppedError: the user stopped it.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        written = what_was_written()
        message = f"interrupted; {written}" if written else NOTHING_WRITTEN
        raise StoppedError(message) from error


def end_at_once() -> None:
    """Let SIGINT end the process with its sentence while modules are imported."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: object) -> NoReturn:
    os.write(2, f"{NOTHING_WRITTEN}\n".encode())
    os._exit(STOPPED)


def raise_again() -> None:
    """Let SIGINT raise KeyboardInterrupt, as Python does."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
