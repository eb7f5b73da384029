"""What was fetched from repositories, stored on disk by commit.

`$CKPTFIX_CACHE`, else `$XDG_CACHE_HOME/ckptfix`, else `~/.cache/ckptfix`, and in it
`hub/HOST/models--ORG--NAME/` with `refs/REVISION` (a commit), `commits/COMMIT/listing.json`,
`commits/COMMIT/files/` (whole JSON files) and `commits/COMMIT/heads/` (the first bytes of shard
files). A commit never changes, so nothing in it goes stale. huggingface_hub's own cache is only
read: a snapshot of JSON alone there would look to a runtime like an interrupted download.

A cache that cannot be written is not an error: the bytes are fetched again next time.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from msgspec import Struct

FORMAT: Final = 1


def cache_folder() -> Path:
    """Where ckptfix keeps what it fetched."""
    if own := os.environ.get("CKPTFIX_CACHE", "").strip():
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(shared) if shared else Path.home() / ".cache") / "ckptfix"


class RepositoryCache(Struct, frozen=True):
    """The part of the cache that belongs to one repository."""

    folder: Path

    @classmethod
    def of(cls, host: str, name: str) -> "RepositoryCache":
        """The part for a repository of a host: two hosts may use the same repository name."""
        repository = "--".join(["models", *name.split("/")])
        return cls(cache_folder() / "hub" / quote(host, safe="") / repository)

    def commit_of(self, revision: str) -> str | None:
        """The commit that a revision was at the last request."""
        try:
            return self._ref(revision).read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None

    def keep_commit(self, revision: str, commit: str) -> None:
        """Remember the current commit of a revision."""
        _write(self._ref(revision), commit.encode())

    def listing(self, commit: str) -> dict[str, int] | None:
        """File -> size, for a commit that was listed before."""
        try:
            found = json.loads((self._commit(commit) / "listing.json").read_bytes())
            if found["format"] != FORMAT:
                return None
            return {str(name): int(size) for name, size in found["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep_listing(self, commit: str, files: Mapping[str, int]) -> None:
        """Remember the files of a commit."""
        data = json.dumps({"format": FORMAT, "files": dict(files)})
        _write(self._commit(commit) / "listing.json", data.encode())

    def file(self, commit: str, name: str) -> bytes | None:
        """A whole file."""
        return _read(self._commit(commit) / "files" / quote(name, safe=""))

    def keep_file(self, commit: str, name: str, data: bytes) -> None:
        """Remember a whole file."""
        _write(self._commit(commit) / "files" / quote(name, safe=""), data)

    def head(self, commit: str, name: str) -> bytes:
        """The cached beginning of a file, `b""` if none."""
        return _read(self._commit(commit) / "heads" / quote(name, safe="")) or b""

    def keep_head(self, commit: str, name: str, data: bytes) -> None:
        """Remember the beginning of a file."""
        _write(self._commit(commit) / "heads" / quote(name, safe=""), data)

    def _ref(self, revision: str) -> Path:
        return self.folder / "refs" / quote(revision, safe="")

    def _commit(self, commit: str) -> Path:
        return self.folder / "commits" / quote(commit, safe="")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically, readable by this user only: the repository may be private."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink()
            raise
