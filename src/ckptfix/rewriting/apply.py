"""Carry a plan out: atomic, interruptible at any moment, undoable."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ckptfix.calls import call
from ckptfix.checkpoint.source import DirectorySource, in_hub_blobs
from ckptfix.durable import digest, write_durably
from ckptfix.errors import CkptfixError, StoppedError
from ckptfix.place import Place
from ckptfix.rewriting.plan import FileChange
from ckptfix.rewriting.store import (
    FOLDER,
    JOURNAL,
    UNDO,
    FileRecord,
    ShardRecord,
    Store,
    Transaction,
    how_to_complete,
    interrupted,
)
from ckptfix.rewriting.tensors.headers import ShardChange
from ckptfix.rewriting.tensors.shards import (
    carry_out_shard,
    is_known,
    require_own_shards,
    require_room,
    stage_shard,
    way_back,
)

VERSION = 1


class Recovered(Struct, frozen=True):
    """A transaction of an earlier run that has just been completed."""

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
                "is a symlink into the Hugging Face cache, which ckptfix never modifies",
                place=Place(file),
                advice="use `output=DIR` to write a repaired checkpoint elsewhere",
            )
        raise CkptfixError(
            f"is a symlink to {target}; ckptfix never writes through symlinks",
            place=Place(file),
            advice="use `output=DIR` to write a repaired checkpoint elsewhere",
        )


def apply_changes(
    source: DirectorySource, changes: Sequence[FileChange], shards: Sequence[ShardChange] = ()
) -> None:
    """Write the new bytes of every file, keeping the originals for undo.

    Args:
        source: the checkpoint.
        changes: JSON files, written whole.
        shards: shard files whose tensors are renamed; only their headers are backed up.

    Raises:
        CkptfixError: a file is a link, has changed since it was read, or cannot be written.
    """
    require_own_files(source, [*(c.file for c in changes), *(s.file for s in shards)])
    require_own_shards(source, shards)
    store = Store(source.root)
    decided = False
    try:
        require_room(source, shards)
        with store.locked():
            done = store.read(UNDO) or Transaction(VERSION, ())
            files = {r.file: r for r in done.files}
            heads = {r.file: r for r in done.shards}
            transaction = Transaction(
                VERSION,
                tuple(_stage(store, source.root, change, files) for change in changes),
                shards=tuple(stage_shard(store, change, heads) for change in shards),
            )
            store.write(JOURNAL, transaction)
            decided = True
            _carry_out(store, transaction, _joined(done, transaction))
    except OSError as error:
        raise _cannot_write(source.root, error, "rewrite", decided=decided) from error
    except KeyboardInterrupt as error:
        raise _stopped(source.root, error, "rewrite", decided=decided) from error


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
            known = _joined(done, pending)
            if not known.records:
                store.sweep()
                raise _nothing_to_undo(source.root)
            if pending is not None:
                _require_known_bytes(store, pending)
            back = []
            for record in known.files:
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
            heads = tuple(way_back(store, record) for record in known.shards)
            transaction = Transaction(VERSION, tuple(back), undo=True, shards=heads)
            store.write(JOURNAL, transaction)
            decided = True
            _carry_out(store, transaction, known)
    except OSError as error:
        if not decided or store.folder.exists():
            raise _cannot_write(source.root, error, "undo", decided=decided) from error
    except KeyboardInterrupt as error:
        raise _stopped(source.root, error, "undo", decided=decided) from error
    return tuple(sorted(record.file for record in known.records))


def recover(source: DirectorySource) -> Recovered | None:
    """Complete a transaction that an earlier run decided and did not finish."""
    if not interrupted(source.root):
        return None
    store, what = Store(source.root), "rewrite"
    try:
        with store.locked():
            pending = store.read(JOURNAL)
            if pending is None:
                return None
            what = pending.what
            _require_known_bytes(store, pending)
            _carry_out(store, pending, _joined(store.read(UNDO), pending))
    except OSError as error:
        raise _cannot_write(source.root, error, what, decided=True) from error
    except KeyboardInterrupt as error:
        raise _stopped(source.root, error, what, decided=True) from error
    return Recovered(tuple(r.file for r in pending.records), pending.undo)


def _joined(*transactions: Transaction | None) -> Transaction:
    """Every file of all transactions; if several contain it, the last one decides."""
    files: dict[str, FileRecord] = {}
    shards: dict[str, ShardRecord] = {}
    for transaction in transactions:
        if transaction is not None:
            files |= {r.file: r for r in transaction.files}
            shards |= {r.file: r for r in transaction.shards}
    return Transaction(VERSION, tuple(files.values()), shards=tuple(shards.values()))


def _stage(
    store: Store, root: Path, change: FileChange, before_first: dict[str, FileRecord]
) -> FileRecord:
    path = root / change.file
    kept = _keep_unchanged(store, path, change)
    earlier = before_first.get(change.file)
    continues = earlier is not None and earlier.after == kept
    return FileRecord(
        change.file,
        kept,
        store.keep(change.after),
        earlier.original if earlier is not None and continues else kept,
        stat.S_IMODE(path.stat().st_mode),
    )


def _keep_unchanged(store: Store, path: Path, change: FileChange) -> str:
    """Keep the file as it was when the change was planned."""
    before = _read(path)
    if before != change.document.data:
        raise CkptfixError(
            "changed during the rewrite; nothing was written",
            place=Place(change.file),
            advice="run again",
        )
    return store.keep(before)


def _carry_out(store: Store, transaction: Transaction, undoable: Transaction) -> None:
    """Put every file in place, then replace the journal by the undo record."""
    for shard in transaction.shards:
        carry_out_shard(store, shard, undo=transaction.undo)
    for record in transaction.files:
        path = store.root / record.file
        data = store.bytes_of(record.after)
        if not path.is_file() or path.stat().st_size != len(data) or _read(path) != data:
            write_durably(path, data, record.mode)
    if transaction.undo:
        store.remove(UNDO)
    else:
        store.write(UNDO, undoable)
    store.remove(JOURNAL)
    store.sweep()


def _require_known_bytes(store: Store, transaction: Transaction) -> None:
    for record in transaction.records:
        if not _is_known(store, record):
            raise CkptfixError(
                f"was edited after the {transaction.what} was interrupted; nothing was written",
                place=Place(record.file),
                advice=f"the bytes before the {transaction.what} are "
                f"{store.folder}/{record.before}",
            )


def _is_known(store: Store, record: FileRecord | ShardRecord) -> bool:
    if isinstance(record, ShardRecord):
        return is_known(store, record)
    return digest(_read(store.root / record.file)) in {record.before, record.after}


def _read(path: Path) -> bytes:
    return path.read_bytes() if not path.is_symlink() else os.readlink(path).encode()


def _nothing_to_undo(root: Path) -> CkptfixError:
    return CkptfixError(f"{root}: nothing to undo; ckptfix has not rewritten this checkpoint")


def _stopped(
    root: Path, error: KeyboardInterrupt, what: str, *, decided: bool
) -> KeyboardInterrupt | StoppedError:
    """What the user stopped; the same error if nothing was changed."""
    if interrupted(root):
        return StoppedError(f"{root}: the {what} was interrupted", advice=how_to_complete(root))
    return StoppedError(f"interrupted; the {what} of {root} is done") if decided else error


def _cannot_write(root: Path, error: OSError, what: str, *, decided: bool) -> CkptfixError:
    """The error with the resulting state: unchanged, complete, or to be completed."""
    why = error.strerror or str(error)
    if interrupted(root):
        return CkptfixError(
            f"{root}: the {what} was interrupted: {why}",
            advice=how_to_complete(root),
        )
    if decided:
        done, folder = f"{root}: the {what} is done", root / FOLDER
        if what == "rewrite":
            return CkptfixError(
                f"{done}, but .ckptfix could not be cleaned up: {why}",
                advice=f"{call('rewrite', str(root))} cleans it up",
            )
        return CkptfixError(f"{done}, but {folder} could not be removed: {why}", advice="remove it")
    nothing = f"{root}: cannot write: {why}; nothing was changed"
    if what == "undo":
        again = call("undo", str(root))
        return CkptfixError(
            nothing, advice=f"make room or get write access, then run {again} again"
        )
    return CkptfixError(nothing, advice="use `output=DIR` to write a repaired checkpoint elsewhere")
