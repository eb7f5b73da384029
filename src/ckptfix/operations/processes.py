"""Work on many local checkpoints in several processes, reported as if it were done in one."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from ckptfix.errors import CkptfixError
from ckptfix.progress import Listener, Step

T = TypeVar("T")
Work = Callable[[str, Listener], T]
"""(name, listener) -> result."""
_FEW: Final = 4
"""Checkpoints per started process; starting one costs as much as checking a few small ones."""
_AT_A_TIME: Final = 8
"""Maximum number of checkpoints that a process takes before it returns its results."""

_work: dict[str, Any] = {}
"""The `work` of the processes about to be forked, and a byte that is set when they should stop."""


def processes_for(number: int, jobs: int) -> int:
    """The number of processes for so many checkpoints; 1: this one.

    Only Linux forks a process with its modules loaded; starting a new one takes longer than most
    checks.
    """
    if sys.platform != "linux" or number < 2:
        return 1
    return min(jobs, len(os.sched_getaffinity(0)), max(1, number // _FEW))


def each_in_turn(
    names: Sequence[str], work: Work[T], listener: Listener, *, processes: int
) -> Iterator[T]:
    """The results of the work, in the order of the names.

    Notes come in that order too; steps are those of whole checkpoints.

    Args:
        names: of checkpoints.
        work: done in another process: its results must be picklable.
        listener: called in this process.
        processes: how many, two or more.

    Raises:
        CkptfixError: a process was ended from outside.
    """
    # Importing these takes a twentieth of the time of a small check, which does not need them.
    import multiprocessing  # noqa: PLC0415
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415
    from mmap import mmap  # noqa: PLC0415

    _work["work"] = work  # inherited by the forked processes, because functions cannot be sent
    _work["stopping"] = stopping = mmap(-1, 1)  # shared with them
    context = multiprocessing.get_context("fork")
    chunk = max(1, min(_AT_A_TIME, len(names) // (2 * processes)))
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        try:
            with _sigint_later():
                found = pool.map(_one, names, chunksize=chunk)
            for done, (name, (result, notes)) in enumerate(zip(names, found, strict=True)):
                listener.step(Step("checking", name, done, len(names)))
                for note in notes:
                    listener.note(note)
                yield result
        except BrokenProcessPool as error:
            raise CkptfixError(
                "a check process was killed, perhaps because memory ran out",
                advice="check fewer checkpoints in parallel",
            ) from error
        except BaseException:
            # Waited for here: when this process ends, the thread is gone that ends them. One that
            # is killed while it sends a result keeps that thread waiting for the rest.
            stopping[0] = 1
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _sigint_later() -> Iterator[None]:
    """Raise KeyboardInterrupt afterwards: the pool may hang that was interrupted while it forks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the waiting parent process ends it
    gc.freeze()  # inherited objects are not written to


def _one(name: str) -> tuple[Any, list[str]]:
    notes: list[str] = []
    if _work["stopping"][0]:
        return None, notes  # nobody reads it
    return _work["work"](name, Listener(note=notes.append)), notes
