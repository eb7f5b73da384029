"""Run the command line in a child process in which one call to the system fails, or kills it."""

import errno
import fcntl
import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ckptfix.operations.rewrite  # noqa: F401 - a child should not import it anew
from ckptfix.__main__ import main

CALLS: Final = (
    (os, "open"), (os, "fdopen"), (os, "fsync"), (os, "fchmod"), (os, "replace"), (os, "mkdir"),
    (os, "unlink"), (os, "rmdir"), (os, "link"), (os, "symlink"), (os, "chmod"), (os, "close"),
    (os, "pwrite"), (os, "copy_file_range"), (os, "utime"), (os, "statvfs"),
    (fcntl, "flock"), (fcntl, "ioctl"), (io, "open"),
)  # fmt: skip
FAULTS: Final = ("ENOSPC", "EIO", "EACCES", "EROFS", "EXDEV", "SIGKILL")


@dataclass(frozen=True)
class Ended:
    """How a command with a fault ended."""

    code: int
    """The exit code, or minus the number of the signal."""
    call: str
    """The call that failed; empty when the command makes fewer calls."""
    message: str
    """stdout and stderr."""


def run_with_fault(log: Path, step: int, fault: str, *arguments: object) -> Ended:
    """Let the call number `step` fail; 0 lets none fail.

    Reads are left alone: what cannot be read is an error of its own, before anything is written.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = _child(log, step, fault, arguments)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    call, _, message = log.read_text().partition("\n")
    return Ended(code, call, message)


def _child(  # noqa: C901 - what it patches is one thing
    log: Path, step: int, fault: str, arguments: tuple[object, ...]
) -> int:
    file = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    write, lseek, kill = os.write, os.lseek, os.kill
    count = 0

    def failing(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if name == "open" and real is not _real_os_open and not _writes(args, kwargs):
                return real(*args, **kwargs)
            count += 1
            if count != step:
                return real(*args, **kwargs)
            write(file, name.encode() + b"\n")
            if fault == "SIGKILL":
                kill(os.getpid(), signal.SIGKILL)
            if name == "fdopen":
                return _FailingFile(real(*args, **kwargs), fault)
            raise _error(fault)

        return call

    _real_os_open = os.open
    for module, name in CALLS:
        setattr(module, name, failing(name, getattr(module, name)))
    if step == 0:
        write(file, b"\n")
    out = io.StringIO()
    sys.stdout = sys.stderr = out
    sys.argv = ["ckptfix", *map(str, arguments)]
    code = 98
    try:
        main()
    except SystemExit as ended:
        code = int(str(ended.code or 0))
    if 0 <= count < step:
        write(file, b"\n")
    lseek(file, 0, os.SEEK_END)
    write(file, out.getvalue().encode())
    return code


def _writes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _error(fault: str) -> OSError:
    number = getattr(errno, fault)
    return OSError(number, os.strerror(number))


class _FailingFile:
    """A file that takes half of what is written, and then no more."""

    def __init__(self, file: Any, fault: str) -> None:
        self._file, self._fault = file, fault

    def __enter__(self) -> "_FailingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        raise _error(self._fault)
