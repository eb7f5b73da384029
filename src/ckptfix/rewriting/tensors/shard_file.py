"""Replace the head of a shard file: in place if that is safe, otherwise by a copy renamed over it.

The only code that opens a shard file to write. The data after the head is never changed.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.file_kind import MAX_HEADER_BYTES
from ckptfix.durable import TEMPORARY, sync_folder
from ckptfix.rewriting.tensors.headers import GROWTH

_CHUNK: Final = 1 << 24
_NOT_OFFERED: Final = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)


class HeaderPair(Struct, frozen=True):
    """The heads of a shard file before and after, and the number of data bytes that follow."""

    before: bytes
    after: bytes
    data_bytes: int

    def are_in(self, path: Path) -> bool:
        """True when the file has one of the two heads, or a mixture left by a power failure.

        Only an edit in place can be torn, so only heads of one length mix.
        """
        if self.has(path, self.before) or self.has(path, self.after):
            return True
        return len(self.before) == len(self.after) and self._is_torn(path)

    def has(self, path: Path, head: bytes) -> bool:
        """True when the file has this head, followed by as much data as it should."""
        if path.is_symlink() or not path.is_file():
            return False
        if path.stat().st_size != len(head) + self.data_bytes:
            return False
        return _read(path, len(head)) == head

    def _is_torn(self, path: Path) -> bool:
        if path.is_symlink() or not path.is_file():
            return False
        if path.stat().st_size != len(self.before) + self.data_bytes:
            return False
        now = _read(path, len(self.before))
        return all(c in (b, a) for c, b, a in zip(now, self.before, self.after, strict=True))


def read_head(path: Path) -> bytes:
    """Length field and header of a file; shorter if the file is truncated."""
    length = int.from_bytes(_read(path, 8), "little")
    return _read(path, 8 + min(length, MAX_HEADER_BYTES))


def why_copied(path: Path, *, fits: bool) -> str:
    """Why a file is not edited in place; empty when it is."""
    if not fits:
        return "the new names do not fit into its header"
    if path.stat().st_nlink > 1:
        return "it has other hard links, which keep the old names"
    if not os.access(path, os.W_OK):
        return "it is read-only"
    return ""


def put_head(path: Path, heads: HeaderPair, mode: int) -> None:
    """Make the file start with the new head; `heads.are_in` holds before.

    In place, one write followed by fsync: after a crash, the journal has the old head. Otherwise a
    new file is written and synced, then renamed over the old one.
    """
    if heads.has(path, heads.after):
        return
    if why_copied(path, fits=len(heads.before) == len(heads.after)):
        copy_with_head(path, path, len(heads.before), heads.after, mode)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            _write(descriptor, heads.after)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def copy_with_head(source: Path, target: Path, skipped: int, head: bytes, mode: int) -> None:
    """Write `target`: the head, then `source` without its first `skipped` bytes."""
    temporary = target.with_name(f".{target.name}{TEMPORARY}")
    temporary.unlink(missing_ok=True)
    old = os.open(source, os.O_RDONLY)
    try:
        state = os.fstat(old)
        new = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write(new, head)
            _copy_data(old, new, skipped, len(head), state.st_size - skipped)
            if (state.st_uid, state.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.fchown(new, state.st_uid, state.st_gid)
            os.fchmod(new, stat.S_IMODE(mode))
            os.fsync(new)
        finally:
            os.close(new)
    finally:
        os.close(old)
    os.replace(temporary, target)
    sync_folder(target.parent)


def _copy_data(old: int, new: int, start: int, target: int, length: int) -> None:
    """Copied here up to the end of a block, then by the kernel, which may share whole blocks."""
    unaligned = min(-start % GROWTH, length)
    _copy_by_hand(old, new, start, target, unaligned)
    start, target, length = start + unaligned, target + unaligned, length - unaligned
    while length > 0 and hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(old, new, length, start, target)
        except OSError as error:
            if error.errno not in _NOT_OFFERED:
                raise
            copied = 0
        if copied == 0:
            break
        start, target, length = start + copied, target + copied, length - copied
    _copy_by_hand(old, new, start, target, length)


def _copy_by_hand(old: int, new: int, start: int, target: int, length: int) -> None:
    while length > 0:
        data = os.pread(old, min(_CHUNK, length), start)
        if not data:
            raise OSError(errno.EIO, "the shard file was truncated while being copied")
        _write(new, data, target)
        start, target, length = start + len(data), target + len(data), length - len(data)


def _write(descriptor: int, data: bytes, offset: int = 0) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _read(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)
