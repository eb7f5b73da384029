"""Another process that holds the lock of a checkpoint."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDS = (
    "import fcntl,sys; f=open(sys.argv[1],'ab'); fcntl.flock(f,fcntl.LOCK_EX); "
    "print(flush=True); input()"
)


@contextmanager
def locked_elsewhere(directory: Path) -> Iterator[None]:
    """The lock is held while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(directory / ".ckptfix" / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.communicate(b"\n")
