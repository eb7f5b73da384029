"""The source of a checkpoint's bytes. The only reader of files in `checkpoint/`.

A source returns small JSON files whole and byte ranges of shard files; `remote/` has the sources
that are not directories. It never leaves the checkpoint: names are single path components, and a
link is followed only into the checkpoint itself, into the blob store of a Hugging Face cache, or
from one shard file to another.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from ckptfix.checkpoint.file_kind import START_BYTES, other_than_text
from ckptfix.errors import CkptfixError, UnsupportedError, empty, reason_of
from ckptfix.place import Place
from ckptfix.text import visible

MAX_JSON_BYTES = 1 << 28
"""A larger JSON file is not metadata: the largest known one, for 1.0 M tensors, has 140 MB."""


def in_hub_blobs(target: Path) -> bool:
    """True when `target` is a blob of a Hugging Face cache: its repository's, or one shared by all.

    `blobs/` next to `snapshots/`, or `blobs/<2 hex digits>/<hash>` (huggingface_hub 2.4.0,
    utils/_shared_blobs.py).
    """
    folder = target.parent
    if folder.name == "blobs":
        return (folder.parent / "snapshots").is_dir()
    shared = folder.parent / ".huggingface-shared-blobs"
    return folder.parent.name == "blobs" and target.name[:2] == folder.name and shared.is_file()


class Source(Protocol):
    """The files of one checkpoint. Every method raises CkptfixError if it fails."""

    @property
    def where(self) -> str:
        """The name of the source in messages."""

    def names(self) -> tuple[str, ...]:
        """Names of the entries, sorted."""

    def has(self, name: str) -> bool:
        """True when there is an entry of this name."""

    def below(self) -> Iterator[str]:
        """Paths of the files in folders of the checkpoint, where they are listed."""

    def size(self, name: str) -> int:
        """Size of a file in bytes."""

    def read(self, name: str) -> bytes:
        """The whole of a JSON file."""

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Up to `length` bytes of a file from byte `start`; fewer only at its end."""


def require_json_size(name: str, size: int) -> None:
    """Refuse to read a file that is too large to be metadata.

    Raises:
        CkptfixError: it is larger than `MAX_JSON_BYTES`.
    """
    if size > MAX_JSON_BYTES:
        raise CkptfixError(
            f"{size / 1e9:.1f} GB is too large for a JSON file (limit 0.3 GB)",
            place=Place(name),
            advice="download or export the file again",
        )


class DirectorySource(Struct, frozen=True):
    """A checkpoint in a local directory."""

    root: Path
    """Absolute; links in it are resolved."""

    @classmethod
    def open(cls, path: str) -> "DirectorySource":
        """The source for a directory that a user named.

        Raises:
            CkptfixError: there is no such directory, or the name is empty.
        """
        if not path.strip():
            raise empty("the name of a directory")
        directory = Path(path)
        try:
            if directory.is_dir():
                return cls(directory.resolve())
            exists = directory.exists()
        except (OSError, ValueError) as error:
            raise CkptfixError(f"{visible(path)}: {reason_of(error)}") from error
        if exists:
            raise _no_directory(directory)
        raise CkptfixError(f"{visible(path)}: no such directory")

    @property
    def where(self) -> str:
        """The directory."""
        return str(self.root)

    def names(self) -> tuple[str, ...]:
        """Names of the directory's entries, sorted."""
        try:
            return tuple(sorted(os.listdir(self.root)))
        except OSError as error:
            raise CkptfixError(f"{self.root}: {error.strerror}") from error

    def has(self, name: str) -> bool:
        """True when the directory has an entry of this name, even a broken symlink."""
        return os.path.lexists(self.root / name)

    def below(self) -> Iterator[str]:
        """Paths of the files in its folders, in order; links to folders are not followed."""
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            where = Path(folder).relative_to(self.root)
            if where.parts:
                yield from (str(where / name) for name in sorted(files))

    def path(self, name: str) -> Path:
        """The real path of one file, checked to be a regular file of this checkpoint.

        Raises:
            CkptfixError: the name points outside the directory, or is not a regular file.
        """
        place = Place(visible(name))
        if not name or "\x00" in name or "/" in name or "\\" in name or name in (".", ".."):
            raise CkptfixError(
                "not a file name inside the checkpoint directory",
                place=place,
                advice="shard files must be in the same directory as config.json",
            )
        path = self.root / name
        try:
            target = path.resolve(strict=True)
            mode = target.stat().st_mode
        except FileNotFoundError as error:
            raise _no_target(path, place) from error
        except RuntimeError as error:  # Python before 3.13
            raise _symlink_loop(place) from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _symlink_loop(place) from error
            raise _unreadable(error, place) from error
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise CkptfixError(
                f"{kind}, not a regular file", place=place, advice="put the file there"
            )
        if path.is_symlink() and not self.may_follow(name, target):
            raise CkptfixError(
                f"symlink points outside the checkpoint, to {target}",
                place=place,
                advice="copy or hard-link the file",
            )
        return target

    def may_follow(self, name: str, target: Path) -> bool:
        """True when a link of this name may be followed to this target."""
        if target.is_relative_to(self.root) or in_hub_blobs(target):
            return True
        return name.endswith(".safetensors") and target.name.endswith(".safetensors")

    def read(self, name: str) -> bytes:
        """The whole of a JSON file."""
        path = self.path(name)
        try:
            require_json_size(name, path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise _unreadable(error, Place(name)) from error

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return self.path(name).stat().st_size

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Up to `length` bytes of a file from byte `start`."""
        try:
            with self.path(name).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise _unreadable(error, Place(name)) from error


def _no_directory(path: Path) -> CkptfixError:
    """For a file that was named instead of a directory."""
    shown = visible(str(path))
    try:
        start = b"{"
        if path.is_file():  # not a pipe, which may never end
            with path.open("rb") as file:
                start = file.read(START_BYTES)
        other = other_than_text(start)
    except OSError:
        other = None
    if other is not None:
        return UnsupportedError(
            f"{shown} is {other.what.removesuffix(' to one')}", advice=other.advice
        )
    return CkptfixError(
        f"{shown} is a file, not a checkpoint directory",
        advice="use the directory that contains config.json",
    )


def _no_target(path: Path, place: Place) -> CkptfixError:
    if not path.is_symlink():
        return CkptfixError("no such file", place=place)
    if in_hub_blobs(path.parent / os.readlink(path)):
        return CkptfixError(
            "its blob is missing from the Hugging Face cache",
            place=place,
            advice="download the repository again",
        )
    return CkptfixError("broken symlink", place=place, advice="put the file itself there")


def _symlink_loop(place: Place) -> CkptfixError:
    return CkptfixError("symlink loop", place=place, advice="put the file itself there")


def _unreadable(error: OSError, place: Place) -> CkptfixError:
    denied = isinstance(error, PermissionError)
    advice = "make it readable for this user" if denied else ""
    return CkptfixError(reason_of(error), place=place, advice=advice)
