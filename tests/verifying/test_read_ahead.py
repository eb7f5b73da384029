"""What is requested is in the page cache afterwards; what cannot be read disturbs nobody."""

import os
import time
from pathlib import Path

import pytest

from ckptfix.verifying.read_ahead import CHUNK, ReadAhead

NOWAIT = getattr(os, "RWF_NOWAIT", None)


def cached(path: Path, at: int) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(handle, [bytearray(1)], at, NOWAIT or 0) == 1
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def dropped(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


@pytest.mark.skipif(NOWAIT is None, reason="no way to ask what the page cache has")
def test_ranges_are_in_the_page_cache_and_the_rest_of_the_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(4 * CHUNK))
    try:
        dropped(path)
        if cached(path, 0):
            pytest.skip("this file system keeps all in memory")
    except OSError:
        pytest.skip("this file system cannot tell")
    reader = ReadAhead()
    reader.request([(path, 1000, CHUNK + 5_000)])
    wanted = range(1000, CHUNK + 6_000, 4096)
    deadline = time.monotonic() + 60  # several threads read: the last page may come first
    while time.monotonic() < deadline and not all(cached(path, at) for at in wanted):
        time.sleep(0.01)
    reader.close()
    assert all(cached(path, at) for at in wanted)
    assert not cached(path, 3 * CHUNK)


def test_a_file_that_is_gone_or_short_is_left_to_its_user(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    path.write_bytes(bytes(100))
    reader = ReadAhead()
    reader.request([(tmp_path / "gone", 0, 100), (path, 50, 10 * CHUNK)])
    reader.close()
    assert path.read_bytes() == bytes(100)
