"""Files written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".ckptfix-tmp"
"""Ending of a file that is still being written."""


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL, which a check does not need

    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file atomically: temporary file next to it, fsync, rename, fsync folder."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)
