"""The standard streams of the process, which may be closed, full, or without a reader."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from ckptfix.cli.ending import stopped
from ckptfix.errors import CkptfixError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_WRONG_WAY: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
"""How to open /dev/null in place of stdin, stdout, stderr so that using it fails."""


class OutputError(CkptfixError):
    """The report cannot be written to standard output."""


class _Descriptor(io.FileIO):
    """A descriptor that discards everything after a failed write, so that nothing fails twice."""

    _lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Number of bytes written, or taken and dropped."""
        while not self._lost:
            try:
                # None if a non-blocking descriptor is full, which is rare.
                written: int | None = super().write(data)
            except OSError as error:
                self._lost = True
                self._failed(error)
                break
            if written is not None:
                return written
            self._wait()
        return memoryview(data).nbytes

    def _wait(self) -> None:
        from select import select

        select([], [self], [])

    def _failed(self, error: OSError) -> None:
        """Called once with the error; by default only the exit code shows it."""


class _Stdout(_Descriptor):
    """A reader that exits early, such as `head`, is not a failure; everything else is."""

    def _failed(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            return
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise OutputError(f"cannot write to standard output: {why}") from error


class _Stderr(_Descriptor):
    """A failure cannot be reported."""


def open_streams() -> None:
    """Keep names, and closed or full streams, from breaking the output.

    What goes to a pipe or file is UTF-8, as a patch must be.
    """
    _take_closed_numbers()
    sys.stdout = _opened(sys.stdout, 1, _Stdout)
    sys.stderr = _opened(sys.stderr, 2, _Stderr)


def _take_closed_numbers() -> None:
    """Keep the next file that is opened from getting the number of a closed stream.

    Anything that still writes to the stream, such as a child process, would write into that file.
    """
    for number, flags in enumerate(_WRONG_WAY):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: those below are taken.
            os.set_inheritable(os.open(os.devnull, flags), True)


def _opened(stream: TextIO | None, number: int, kind: type[_Descriptor]) -> TextIO:
    if stream is not None and not _is_descriptor(stream, number):  # a test reads it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
        return stream
    raw = kind(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream is not None and raw.isatty() else "utf-8",
        errors="backslashreplace",
        newline="\n",
        line_buffering=raw.isatty() or kind is _Stderr,
    )


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError):  # it is in memory
        return False


@contextmanager
def already_done(what: str) -> Iterator[None]:
    """Report on work that is already done; an error message mentions that it was done.

    Args:
        what: a phrase for the user; empty if nothing was written.

    Raises:
        CkptfixError: the report cannot be written to standard output.
        StoppedError: the user stopped it.
    """
    try:
        with stopped(lambda: what):
            yield
    except OutputError as error:
        raise CkptfixError(error.problem, advice=what) from error
