"""A complete checkpoint directory with rewritten metadata; the source is left untouched.

Weights are not copied: a hard link if the file system supports it, otherwise a reflink (copy on
write), otherwise a symlink. Everything else is small and copied, so that edits never reach the
source.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from ckptfix.checkpoint.source import DirectorySource, Source
from ckptfix.checkpoint.table_reading import MOST_READS
from ckptfix.durable import TEMPORARY, sync_folder, write_durably
from ckptfix.errors import CkptfixError, reason_of
from ckptfix.place import Place
from ckptfix.rewriting.plan import FileChange
from ckptfix.rewriting.store import FOLDER
from ckptfix.rewriting.tensors.headers import ShardChange
from ckptfix.rewriting.tensors.shard_file import copy_with_head
from ckptfix.text import visible

WEIGHT_SUFFIXES: Final = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
MAX_FETCHED_BYTES: Final = 100_000_000
"""A file larger than any tokenizer is only fetched together with the weights."""
_LEFT_BEHIND: Final = frozenset({".git", ".cache"})
_FICLONE: Final = 0x40049409
"""ioctl number of a reflink on Linux (linux/fs.h)."""

LinkKind = Literal["hard link", "reflink", "symlink"]


class Output(Struct, frozen=True):
    """The result."""

    directory: Path
    linked: tuple[tuple[LinkKind, int], ...]
    """How many weight files were linked, per kind."""
    copied: int
    """Files copied, rewritten metadata included."""
    left_out: tuple[str, ...] = ()
    """Files that were not fetched: weights, and files too large to be anything else."""
    renamed: int = 0
    """Weight files copied because their tensors are renamed."""


def require_free(output: str, root: Path | None = None) -> Path:
    """The absolute path of a directory that may be created.

    Args:
        output: as the user named it.
        root: the directory of the checkpoint, if it has one.

    Raises:
        CkptfixError: it exists and is not empty, is a file, or is inside the checkpoint.
    """
    path = Path(output).absolute()
    try:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise CkptfixError(
                f"`output` {visible(output)}: is not a directory", advice="choose a new directory"
            )
        is_used = path.exists() and any(path.iterdir())
        has_parent = path.parent.is_dir()
    except (OSError, ValueError) as error:
        raise CkptfixError(
            f"`output` {visible(output)}: {reason_of(error)}", advice="choose another directory"
        ) from error
    if root is not None and path.resolve().is_relative_to(root):
        raise CkptfixError(
            f"`output` {visible(output)}: is inside the checkpoint",
            advice="choose another directory",
        )
    if is_used:
        raise CkptfixError(
            f"`output` {visible(output)}: is not empty", advice="choose a new directory"
        )
    if not has_parent:
        parent = visible(str(path.parent))
        raise CkptfixError(
            f"`output` {visible(output)}: {parent} does not exist", advice="create it first"
        )
    return path


def make_output(
    source: DirectorySource,
    output: Path,
    changes: Sequence[FileChange],
    shards: Sequence[ShardChange] = (),
) -> Output:
    """Build the directory next to its final location, then rename it in one step."""
    mode = stat.S_IMODE(source.root.stat().st_mode) | stat.S_IRWXU
    with _staging(output, changes, mode) as staging:
        linked, copied = _fill(source, source.root, staging, {s.file for s in shards})
        for shard in shards:
            real = source.path(shard.file)
            shard_mode = stat.S_IMODE(real.stat().st_mode) | stat.S_IWUSR
            target = staging / shard.file
            copy_with_head(real, target, len(shard.before), shard.after, shard_mode)
    return Output(output, tuple(linked.items()), copied, renamed=len(shards))


def make_metadata_output(source: Source, output: Path, changes: Sequence[FileChange]) -> Output:
    """The same without the weights, from a remote checkpoint."""
    small = [
        name
        for name in source.names()
        if not name.endswith(WEIGHT_SUFFIXES) and source.size(name) <= MAX_FETCHED_BYTES
    ]
    with _staging(output, changes, 0o755) as staging, ThreadPoolExecutor(MOST_READS) as pool:
        for name, data in zip(small, pool.map(source.read, small), strict=True):
            (staging / name).write_bytes(data)
    left_out = tuple(name for name in source.names() if name not in small)
    return Output(output, (), len(small), left_out)


@contextmanager
def _staging(output: Path, changes: Sequence[FileChange], mode: int) -> Iterator[Path]:
    """A temporary directory that gets the new metadata and its final name, or is removed."""
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.ckptfix-", dir=output.parent))
        try:
            yield staging
            for change in changes:
                path = staging / change.file
                file_mode = stat.S_IMODE(path.stat().st_mode)
                write_durably(path, change.after, file_mode)
            staging.chmod(mode)
            os.replace(staging, output)
            sync_folder(output.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except OSError as error:
        raise CkptfixError(
            f"`output` {output}: cannot write: {error.strerror}",
            advice="choose a directory where there is room and this user can write",
        ) from error


def _fill(
    source: DirectorySource, folder: Path, target: Path, left_out: Set[str] = frozenset()
) -> tuple[dict[LinkKind, int], int]:
    linked: dict[LinkKind, int] = {}
    copied = 0
    for entry in sorted(folder.iterdir()):
        if entry.name == FOLDER or entry.name.endswith(TEMPORARY):
            continue
        if folder == source.root and entry.name in _LEFT_BEHIND | left_out:
            continue
        if entry.is_dir() and not entry.is_symlink():
            (target / entry.name).mkdir()
            below, files = _fill(source, entry, target / entry.name)
            copied += files
            for kind, count in below.items():
                linked[kind] = linked.get(kind, 0) + count
            continue
        real = _real_file(source, entry)
        if entry.name.endswith(WEIGHT_SUFFIXES):
            kind = _link(real, target / entry.name)
            linked[kind] = linked.get(kind, 0) + 1
        else:
            shutil.copyfile(real, target / entry.name)
            os.chmod(target / entry.name, stat.S_IMODE(real.stat().st_mode) | stat.S_IWUSR)
            copied += 1
    return linked, copied


def _real_file(source: DirectorySource, entry: Path) -> Path:
    if entry.parent == source.root:
        return source.path(entry.name)
    relative = str(entry.relative_to(source.root))
    if entry.is_symlink() and not source.may_follow(entry.name, entry.resolve()):
        raise CkptfixError("symlink points outside the checkpoint", place=Place(visible(relative)))
    if not entry.is_file():
        raise CkptfixError("not a regular file", place=Place(visible(relative)))
    return entry.resolve()


def _link(real: Path, target: Path) -> LinkKind:
    try:
        os.link(real, target)
    except OSError:
        pass
    else:
        return "hard link"
    if _reflink(real, target):
        return "reflink"
    target.symlink_to(real)
    return "symlink"


def _reflink(real: Path, target: Path) -> bool:
    try:
        with real.open("rb") as old, target.open("xb") as new:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True
