"""Reads ranges of files into the kernel's page cache, before they are mapped and used.

Measured on a machine with an H100 (docs/benchmarks.md): asking by `posix_fadvise` was no faster
than not asking; threads that read are as fast as `cat`.
"""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

THREADS: Final = 8
"""They wait for the disk nearly all the time."""
CHUNK: Final = 1 << 24
"""Bytes that one thread reads from one open file."""
_BUFFER: Final = 1 << 22
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", None)
"""Linux has it: a read that fails where it would wait for the disk."""


class ReadAhead:
    """Threads until `close`. What they cannot read is reported by whoever uses it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "ckptfix-read")
        self._own = threading.local()

    def request(self, ranges: Iterable[tuple[Path, int, int]]) -> None:
        """Have them read: path, first byte, number of bytes."""
        for path, start, nbytes in ranges:
            for at in range(start, start + nbytes, CHUNK):
                end = min(at + CHUNK, start + nbytes)
                self._threads.submit(self._read, path, at, end)

    def close(self) -> None:
        """Wait for what is being read; the rest is not."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _read(self, path: Path, start: int, end: int) -> None:
        with suppress(OSError):
            if _is_cached(path, start, end):
                return  # copying it would only take time
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                while start < end:
                    done = file.readinto(self._buffer()[: end - start])
                    if not done:
                        return
                    start += done

    def _buffer(self) -> memoryview:
        if not hasattr(self._own, "buffer"):
            self._own.buffer = memoryview(bytearray(_BUFFER))
        buffer: memoryview = self._own.buffer
        return buffer


def _is_cached(path: Path, start: int, end: int) -> bool:
    """Whether the page cache has the first and the last byte of a range, as far as can be known.

    On a handle of its own: the kernel reads ahead less on one that does not read in order.
    """
    if _NOWAIT is None:
        return False
    with path.open("rb", buffering=0) as file:
        try:
            for at in (start, end - 1):
                os.preadv(file.fileno(), [bytearray(1)], at, _NOWAIT)
        except OSError:
            return False
    return True
