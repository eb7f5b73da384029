"""Deleting the backup that undo needs."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.durable import TEMPORARY, sync_folder
from ckptfix.errors import CkptfixError
from ckptfix.rewriting.store import FOLDER, IGNORE, LOCK, UNDO, Store, require_whole

_KEPT: Final = re.compile("[0-9a-f]{64}")


class Forgotten(Struct, frozen=True):
    """What was removed."""

    originals: tuple[str, ...]
    """Files that can no longer be restored; empty if the folder did not record them."""
    files: int
    """Number of files, the lock and .gitignore not counted."""
    nbytes: int
    """Bytes of these files."""
    left: tuple[str, ...]
    """Names left in the folder because ckptfix did not create them."""


def forget(source: DirectorySource) -> Forgotten | None:
    """Remove the files of `.ckptfix/` that ckptfix created; None if there is no folder.

    If killed at any moment, the folder either still undoes everything, or undoes nothing and the
    next call removes it.

    Raises:
        CkptfixError: a rewrite was interrupted, another ckptfix holds the folder, or the file
            system refuses.
    """
    store = Store(source.root)
    if not os.path.lexists(store.folder):
        return None
    try:
        require_whole(source.root)
        with store.locked():
            require_whole(source.root)
            return _remove(store)
    except OSError as error:
        raise CkptfixError(
            f"{source.root}: {FOLDER} cannot be removed: {error.strerror or error}",
            advice="run it again, or remove the folder by hand",
        ) from error


def _remove(store: Store) -> Forgotten:
    originals = _originals(store)
    ours = [*_ours(store.folder), *_leftovers(store.root)]
    # Without undo.json the rest is useless; with it, all of the rest must be there.
    ours.sort(key=lambda path: (path.name != UNDO, path.name == LOCK))
    sizes = {path: path.lstat().st_size for path in ours if path.name not in (LOCK, IGNORE)}
    for path in ours:
        path.unlink()
        if path.name == UNDO:
            sync_folder(store.folder)
    left = tuple(sorted(os.listdir(store.folder)))
    if not left:
        store.folder.rmdir()
    sync_folder(store.root)
    return Forgotten(originals, len(sizes), sum(sizes.values()), left)


def _originals(store: Store) -> tuple[str, ...]:
    try:
        done = store.read(UNDO)
    except CkptfixError:  # damaged
        return ()
    return tuple(sorted(record.file for record in done.records)) if done is not None else ()


def _ours(folder: Path) -> Iterator[Path]:
    """Regular files with names that ckptfix uses; it creates no links or folders."""
    for path in folder.iterdir():
        named = path.name in (UNDO, LOCK, IGNORE) or _KEPT.fullmatch(path.name) is not None
        if (named or path.name.endswith(TEMPORARY)) and stat.S_ISREG(path.lstat().st_mode):
            yield path


def _leftovers(root: Path) -> Iterator[Path]:
    """Partly written files of a rewrite that was killed."""
    return (path for path in root.glob(f".*{TEMPORARY}") if stat.S_ISREG(path.lstat().st_mode))
