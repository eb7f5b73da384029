"""Shard files in a transaction: staged, applied, restored. Used by `rewriting/apply.py`."""

import os
import stat
from collections.abc import Iterable, Mapping

from ckptfix.checkpoint.source import DirectorySource, in_hub_blobs
from ckptfix.durable import digest
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.rewriting.store import ShardRecord, Store
from ckptfix.rewriting.tensors.headers import ShardChange
from ckptfix.rewriting.tensors.shard_file import HeaderPair, put_head, read_head, why_copied
from ckptfix.text import visible


def require_own_shards(source: DirectorySource, changes: Iterable[ShardChange]) -> None:
    """Refuse to rename tensors of files that are not the checkpoint's own.

    Raises:
        CkptfixError: a file is in a Hugging Face cache, where other programs expect the content of
            the Hub.
    """
    root = source.root
    hub = root.parent.parent
    in_hub = root.parent.name == "snapshots" and (
        (hub / "blobs").is_dir() or hub.name.startswith("models--")
    )
    for change in changes:
        if in_hub or in_hub_blobs(root / change.file):
            raise CkptfixError(
                "is in the Hugging Face cache, which ckptfix never modifies",
                place=Place(visible(change.file)),
                advice="use `output=DIR` to write a repaired checkpoint elsewhere",
            )


def copied_shards(source: DirectorySource, changes: Iterable[ShardChange]) -> Mapping[str, str]:
    """Shard file -> why it is copied and not edited in place; only those that are copied."""
    reasons = {c.file: why_copied(source.path(c.file), fits=c.fits) for c in changes}
    return {file: reason for file, reason in reasons.items() if reason}


def require_room(source: DirectorySource, changes: Iterable[ShardChange]) -> None:
    """Refuse before anything is written if the copies would fill the file system.

    The old file of a copy is freed when the new one takes its name, unless it has other links.

    Raises:
        CkptfixError: too little room.
    """
    kept = largest = 0
    for change in changes:
        state = source.path(change.file).stat()
        if why_copied(source.path(change.file), fits=change.fits):
            size = state.st_size + len(change.after) - len(change.before)
            largest = max(largest, size)
            kept += size if state.st_nlink > 1 else 0
    needed = max(largest, kept)
    room = os.statvfs(source.root)
    free = room.f_bavail * room.f_frsize
    if needed > free:
        raise CkptfixError(
            f"{source.root}: copying shard files for longer names needs {needed / 1e9:.1f} GB, "
            f"but only {free / 1e9:.1f} GB are free",
            advice="use names that fit into the headers, or free some disk space",
        )


def stage_shard(
    store: Store, change: ShardChange, earlier: Mapping[str, ShardRecord]
) -> ShardRecord:
    """Keep both heads; nothing outside the folder is touched."""
    path = store.root / change.file
    state = path.stat()
    if read_head(path) != change.before:
        raise CkptfixError(
            "changed during the rewrite; nothing was written",
            place=Place(change.file),
            advice="run again",
        )
    before = store.keep(change.before)
    last = earlier.get(change.file)
    continues = last is not None and last.after == before
    return ShardRecord(
        change.file,
        before,
        store.keep(change.after),
        last.original if last is not None and continues else before,
        state.st_size - len(change.before),
        stat.S_IMODE(state.st_mode),
        last.mtime_ns if last is not None and continues else state.st_mtime_ns,
    )


def carry_out_shard(store: Store, record: ShardRecord, *, undo: bool) -> None:
    """Give the file the head of `after`; an undo also restores its modification time."""
    path = store.root / record.file
    put_head(path, _heads(store, record), record.mode)
    if undo:
        os.utime(path, ns=(path.stat().st_atime_ns, record.mtime_ns))


def is_known(store: Store, record: ShardRecord) -> bool:
    """True when the file has the old head, the new head, or a mixture of both."""
    return _heads(store, record).are_in(store.root / record.file)


def way_back(store: Store, record: ShardRecord) -> ShardRecord:
    """The record that restores the original.

    A head that a power failure tore is first made whole, while the journal that explains it is
    still there.

    Raises:
        CkptfixError: the file was edited after the rewrite.
    """
    path = store.root / record.file
    heads = _heads(store, record)
    original = HeaderPair(store.bytes_of(record.original), heads.after, record.data_bytes)
    if not heads.are_in(path) and not original.has(path, original.before):
        raise CkptfixError(
            "was edited after the rewrite; nothing was restored",
            place=Place(record.file),
            advice=f"the original header is {store.root}/.ckptfix/{record.original}",
        )
    if digest(read_head(path)) not in {record.before, record.after, record.original}:
        put_head(path, HeaderPair(heads.after, heads.before, heads.data_bytes), record.mode)
    current = digest(read_head(path))
    return ShardRecord(
        record.file,
        current,
        record.original,
        record.original,
        record.data_bytes,
        record.mode,
        record.mtime_ns,
    )


def _heads(store: Store, record: ShardRecord) -> HeaderPair:
    return HeaderPair(
        store.bytes_of(record.before), store.bytes_of(record.after), record.data_bytes
    )
