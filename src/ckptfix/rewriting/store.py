"""The hidden folder with a checkpoint's originals and its journal.

    .ckptfix/
      journal.json   a transaction in progress: everything it needs is staged
      undo.json      what `undo` restores, and the state it requires
      lock           held by the ckptfix process that writes
      .gitignore     ignores the folder: the backup is not part of the checkpoint
      <SHA-256>      bytes of files, and heads of shard files

A transaction is decided when `journal.json` appears. Before it, nothing outside
`.ckptfix/` has changed and the next run starts over; after it, every run can complete or roll back.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from ckptfix.calls import call
from ckptfix.durable import TEMPORARY, digest, sync_folder, write_durably
from ckptfix.errors import CkptfixError, reason_of
from ckptfix.place import Place
from ckptfix.text import visible

FOLDER: Final = ".ckptfix"
JOURNAL: Final = "journal.json"
UNDO: Final = "undo.json"
LOCK: Final = "lock"
IGNORE: Final = ".gitignore"


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One metadata file of a transaction; bytes are named by their SHA-256."""

    file: str
    before: str
    """The content before the transaction."""
    after: str
    """The content after it."""
    original: str
    """The content that undo restores: before the first rewrite."""
    mode: int
    """Permission bits, kept."""


class ShardRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One shard file of a transaction: its heads (length and header), named by their SHA-256."""

    file: str
    before: str
    after: str
    original: str
    """As in a FileRecord."""
    data_bytes: int
    """Number of bytes after the head, the same before and after."""
    mode: int
    mtime_ns: int
    """File mode of the original; undo restores it together with the bytes."""


class Transaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of journal.json and undo.json."""

    version: int
    files: tuple[FileRecord, ...]
    undo: bool = False
    """True when the transaction restores the originals."""
    shards: tuple[ShardRecord, ...] = ()
    """Shard files whose tensors are renamed."""

    @property
    def what(self) -> Literal["rewrite", "undo"]:
        """What it does."""
        return "undo" if self.undo else "rewrite"

    @property
    def records(self) -> tuple[FileRecord | ShardRecord, ...]:
        """Files of both kinds."""
        return (*self.files, *self.shards)


class Store:
    """`.ckptfix/` of one checkpoint directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER

    def create(self) -> None:
        """Make the folder; it is hidden from runtimes, which read named files only."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise CkptfixError(
                "is not a directory", place=Place(FOLDER), advice="remove it and run again"
            )
        self.folder.mkdir(exist_ok=True)
        sync_folder(self.root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against a second ckptfix; the lock ends with the process.

        A folder that holds nothing to complete or to undo afterwards is removed, whatever happens.

        Raises:
            CkptfixError: another process holds it, or the lock is not a regular file.
            OSError: the file system refuses, or has no locks.
        """
        try:
            descriptor = self._open_lock()
            while not self._is_lock(descriptor):
                # The previous holder has removed it with the folder.
                os.close(descriptor)
                descriptor = self._open_lock()
            try:
                self._hide_from_git()
                yield
            except BaseException:
                with suppress(OSError, CkptfixError):
                    self.sweep()
                raise
            finally:
                os.close(descriptor)
        finally:
            # NFS keeps an open file in the folder until it is closed.
            with suppress(OSError):
                self.folder.rmdir()

    def _hide_from_git(self) -> None:
        path = self.folder / IGNORE
        if not os.path.lexists(path):
            write_durably(path, b"*\n")

    def _open_lock(self) -> int:
        self.create()
        # A folder that came with the checkpoint may contain a link or pipe of this name.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.folder / LOCK, flags, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self.damaged(f"{LOCK} is not a regular file")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise CkptfixError(
                f"{self.root}: another ckptfix is rewriting this checkpoint",
                advice="wait for it to end",
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_lock(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), (self.folder / LOCK).stat())
        except FileNotFoundError:
            return False

    def keep(self, data: bytes) -> str:
        """Store bytes under their digest."""
        name = digest(data)
        path = self.folder / name
        if not (path.is_file() and not path.is_symlink() and digest(path.read_bytes()) == name):
            write_durably(path, data, 0o600)
        return name

    def bytes_of(self, name: str) -> bytes:
        """Stored bytes, checked against their digest."""
        if len(name) != 64 or not all(c in "0123456789abcdef" for c in name):
            raise self.damaged(f"{name!r} is not a digest")
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            raise self.damaged(f"{name} is missing or not a regular file")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self.damaged(f"{name} cannot be read: {error.strerror}") from error
        if digest(data) != name:
            raise self.damaged(f"{name} has unexpected content")
        return data

    def damaged(self, why: str) -> CkptfixError:
        """The error for a folder that cannot be used."""
        return CkptfixError(
            why,
            place=Place(FOLDER),
            advice="the originals cannot be restored from it; compare the files with their source",
        )

    def read(self, name: str) -> Transaction | None:
        """journal.json or undo.json, if it exists."""
        path = self.folder / name
        if path.is_symlink():
            raise self.damaged(f"{name} is a symlink")
        if not path.is_file():
            return None
        try:
            transaction = msgspec.json.decode(path.read_bytes(), type=Transaction)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self.damaged(f"{name} cannot be read: {reason_of(error)}") from error
        for record in transaction.records:
            ending = ".safetensors" if isinstance(record, ShardRecord) else ".json"
            if Path(record.file).name != record.file or record.file in ("", ".", ".."):
                raise self.damaged(f"{name} lists a file outside the checkpoint directory")
            if not record.file.endswith(ending) or "\x00" in record.file:
                raise self.damaged(f"{name} lists a file that a rewrite never changes")
            if not 0 <= record.mode <= 0o7777:
                raise self.damaged(f"{name} has a file mode that a rewrite never sets")
        return transaction

    def write(self, name: str, transaction: Transaction) -> None:
        """Write journal.json or undo.json, durably."""
        write_durably(self.folder / name, msgspec.json.format(msgspec.json.encode(transaction)))

    def remove(self, name: str) -> None:
        """Remove journal.json or undo.json, durably."""
        (self.folder / name).unlink(missing_ok=True)
        sync_folder(self.folder)

    def sweep(self) -> None:
        """Remove the leftovers of a killed run, unused stored bytes, and an empty folder."""
        for path in self.root.glob(f".*{TEMPORARY}"):
            path.unlink()
        needed = set()
        for transaction in (self.read(JOURNAL), self.read(UNDO)):
            for record in transaction.records if transaction else ():
                needed |= {record.before, record.after, record.original}
        for path in self.folder.iterdir():
            if path.name not in needed | {JOURNAL, UNDO, LOCK, IGNORE}:
                path.unlink()
        if not needed:
            (self.folder / IGNORE).unlink(missing_ok=True)
            # A process that waits for the lock creates the folder again.
            (self.folder / LOCK).unlink(missing_ok=True)
            self.folder.rmdir()
            sync_folder(self.root)


def interrupted(root: Path) -> bool:
    """True when a transaction was decided and not carried out.

    Raises:
        CkptfixError: the folder cannot be read, so it is not known.
    """
    try:
        return (root / FOLDER / JOURNAL).is_file()
    except OSError as error:
        raise CkptfixError(f"{visible(str(root))}: {reason_of(error)}") from error


def how_to_complete(root: Path) -> str:
    """Advice on an interrupted rewrite or undo."""
    again, back = call("rewrite", str(root)), call("undo", str(root))
    if _what_was_interrupted(root) == "an undo":
        return f"run {back} to complete it"
    return f"run {again} to complete it or {back} to roll it back"


def _what_was_interrupted(root: Path) -> str:
    try:
        pending = Store(root).read(JOURNAL)
    except CkptfixError:  # damaged
        pending = None
    return "an undo" if pending is not None and pending.undo else "a rewrite"


def require_whole(root: Path) -> None:
    """Refuse to read a checkpoint whose rewrite or undo was interrupted.

    Raises:
        CkptfixError: some files may be old and some new.
    """
    if interrupted(root):
        raise CkptfixError(
            f"{root}: {_what_was_interrupted(root)} was interrupted; the files may be inconsistent",
            advice=how_to_complete(root),
        )
