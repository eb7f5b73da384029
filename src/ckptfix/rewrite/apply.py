"""Carry a plan out: atomic, interruptible at any moment, undoable."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptfix.checkpoint.source import DirectorySource, in_hub_blobs
from ckptfix.errors import CkptfixError, Place
from ckptfix.rewrite.plan import FileChange
from ckptfix.rewrite.store import (
    JOURNAL,
    UNDO,
    FileRecord,
    Store,
    Transaction,
    digest,
    interrupted,
    write_durably,
)

VERSION = 1


@dataclass(frozen=True)
class Recovered:
    """A transaction of an earlier run that was brought to its end."""

    files: tuple[str, ...]
    undo: bool
    """True when it was an undo that was completed."""


def require_own_files(source: DirectorySource, files: Sequence[str]) -> None:
    """Refuse to write through links.

    Raises:
        CkptfixError: a file is a symlink, such as in a Hugging Face cache.
    """
    for file in files:
        path = source.root / file
        if not path.is_symlink():
            continue
        target = path.resolve()
        if in_hub_blobs(target):
            raise CkptfixError(
                "is a link into a Hugging Face cache, which is never modified",
                place=Place(file),
                advice="use --output DIR to write a repaired checkpoint elsewhere",
            )
        raise CkptfixError(
            f"is a link to {target}, and files are never written through links",
            place=Place(file),
            advice="use --output DIR to write a repaired checkpoint elsewhere",
        )


def apply_changes(source: DirectorySource, changes: Sequence[FileChange]) -> None:
    """Write the new bytes of every file, keeping the originals for undo.

    Raises:
        CkptfixError: a file is a link, has changed since it was read, or cannot be written.
    """
    require_own_files(source, [change.file for change in changes])
    store = Store(source.root)
    decided = False
    try:
        with store.locked():
            before_first = {r.file: r for r in _records(store.read(UNDO))}
            records = [_stage(store, source.root, change, before_first) for change in changes]
            untouched = [r for f, r in before_first.items() if f not in {c.file for c in changes}]
            store.write(JOURNAL, Transaction(VERSION, tuple(records)))
            decided = True
            _carry_out(store, Transaction(VERSION, tuple(records)), keep=untouched)
    except OSError as error:
        raise _cannot_write(source.root, error, "rewrite", decided=decided) from error


def undo(source: DirectorySource) -> tuple[str, ...]:
    """Restore the original bytes; the names of the files restored.

    Also rolls back a rewrite that was interrupted.

    Raises:
        CkptfixError: nothing to undo, or a file was edited after the rewrite.
    """
    store = Store(source.root)
    if not store.folder.is_dir():
        raise _nothing_to_undo(source.root)
    decided = False
    try:
        with store.locked():
            pending = store.read(JOURNAL)
            done = store.read(UNDO)
            known = {r.file: r for r in (*_records(done), *_records(pending))}
            if not known:
                store.sweep()
                raise _nothing_to_undo(source.root)
            if pending is not None:
                _require_known_bytes(source.root, pending)
            back = []
            for record in known.values():
                current = digest(_read(source.root / record.file))
                if current not in {record.before, record.after, record.original}:
                    raise CkptfixError(
                        "was edited after the rewrite; nothing was restored",
                        place=Place(record.file),
                        advice=f"the original is {source.root}/.ckptfix/{record.original}",
                    )
                back.append(
                    FileRecord(record.file, current, record.original, record.original, record.mode)
                )
            transaction = Transaction(VERSION, tuple(back), undo=True)
            store.write(JOURNAL, transaction)
            decided = True
            _carry_out(store, transaction, keep=())
    except OSError as error:
        raise _cannot_write(source.root, error, "undo", decided=decided) from error
    return tuple(sorted(known))


def recover(source: DirectorySource) -> Recovered | None:
    """Complete a transaction that an earlier run decided and did not finish."""
    if not interrupted(source.root):
        return None
    store = Store(source.root)
    try:
        with store.locked():
            pending = store.read(JOURNAL)
            if pending is None:
                return None
            _require_known_bytes(source.root, pending)
            done = {r.file: r for r in _records(store.read(UNDO))}
            files = {r.file for r in pending.files}
            _carry_out(store, pending, keep=[r for f, r in done.items() if f not in files])
    except OSError as error:
        raise _cannot_write(source.root, error, "rewrite", decided=True) from error
    return Recovered(tuple(r.file for r in pending.files), pending.undo)


def _records(transaction: Transaction | None) -> tuple[FileRecord, ...]:
    return transaction.files if transaction is not None else ()


def _stage(
    store: Store, root: Path, change: FileChange, before_first: dict[str, FileRecord]
) -> FileRecord:
    path = root / change.file
    before = _read(path)
    if before != change.before.encode("utf-8"):
        raise CkptfixError(
            "changed while it was being rewritten; nothing was written",
            place=Place(change.file),
            advice="run again",
        )
    earlier = before_first.get(change.file)
    kept = store.keep(before)
    continues = earlier is not None and earlier.after == kept
    return FileRecord(
        change.file,
        kept,
        store.keep(change.after.encode("utf-8")),
        earlier.original if earlier is not None and continues else kept,
        stat.S_IMODE(path.stat().st_mode),
    )


def _carry_out(store: Store, transaction: Transaction, keep: Sequence[FileRecord]) -> None:
    """Put every file in place, then trade the journal for the undo record."""
    for record in transaction.files:
        path = store.root / record.file
        data = store.bytes_of(record.after)
        if not path.is_file() or _read(path) != data:
            write_durably(path, data, record.mode)
    if transaction.undo:
        store.remove(UNDO)
    else:
        store.write(UNDO, Transaction(VERSION, (*transaction.files, *keep)))
    store.remove(JOURNAL)
    store.sweep()


def _require_known_bytes(root: Path, transaction: Transaction) -> None:
    for record in transaction.files:
        if digest(_read(root / record.file)) not in {record.before, record.after}:
            raise CkptfixError(
                "was edited after the rewrite was interrupted; nothing was written",
                place=Place(record.file),
                advice=f"the bytes before the rewrite are {root}/.ckptfix/{record.before}",
            )


def _read(path: Path) -> bytes:
    return path.read_bytes() if not path.is_symlink() else os.readlink(path).encode()


def _nothing_to_undo(root: Path) -> CkptfixError:
    return CkptfixError(f"{root}: nothing to undo, ckptfix has not rewritten this checkpoint")


def _cannot_write(root: Path, error: OSError, what: str, *, decided: bool) -> CkptfixError:
    """The error, with what it has left: nothing, everything, or something to complete."""
    why = error.strerror or str(error)
    if interrupted(root):
        return CkptfixError(
            f"{root}: the {what} was interrupted: {why}",
            advice="run ckptfix rewrite to complete it or ckptfix rewrite --undo to roll it back",
        )
    if decided:
        return CkptfixError(
            f"{root}: the {what} is done, but .ckptfix could not be tidied: {why}",
            advice="the next ckptfix rewrite tidies it",
        )
    return CkptfixError(
        f"{root}: cannot write: {why}; nothing was changed",
        advice="use --output DIR to write a repaired checkpoint elsewhere",
    )
