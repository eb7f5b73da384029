"""A repository of the Hub as a source: headers and JSON, each byte fetched once and kept."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from huggingface_hub import constants
from msgspec import Struct, field

from ckptfix.checkpoint.dialects.registry import METADATA_FILES
from ckptfix.checkpoint.mistral import JSON_FILES
from ckptfix.checkpoint.shard_index import INDEX_FILE, SINGLE_FILE
from ckptfix.checkpoint.source import DirectorySource, require_json_size
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.remote.cache import RepositoryCache
from ckptfix.remote.hub_client import Commit, HubClient, RemoteFile
from ckptfix.remote.reference import Repository, is_commit
from ckptfix.remote.snapshots import cached_commit, repository_folder, whole_snapshot
from ckptfix.text import visible

DEFAULT_BRANCH: Final = "main"
FIRST_BYTES: Final = 1 << 17
"""Bytes of the first request for a shard file: the header of a thousand tensors fits. The latency
of a request exceeds the time that these bytes take."""


class HubSource(Struct, frozen=True):
    """One commit of a repository."""

    repository: Repository
    commit: str
    files: dict[str, int]
    """Name -> size, of the files next to config.json."""
    cache: RepositoryCache
    client: HubClient | None
    """None if only the cache may be read."""
    deeper: tuple[str, ...] = ()
    """Paths of all other files."""
    _opened: dict[str, RemoteFile] = field(default_factory=dict)
    _heads: dict[str, bytes] = field(default_factory=dict)
    _ahead: dict[str, Future[bytes]] = field(default_factory=dict)
    """JSON files that were prefetched."""
    _prefetched: threading.Event = field(default_factory=threading.Event)
    """Set once the prefetch has started."""
    _reading: dict[str, threading.Lock] = field(default_factory=dict)
    """One lock per shard file, held while its beginning is read."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def where(self) -> str:
        """The repository, as the user names it."""
        return visible(str(self.repository))

    def names(self) -> tuple[str, ...]:
        """Names of the files next to config.json, sorted."""
        return tuple(sorted(self.files))

    def below(self) -> Iterator[str]:
        """Paths of the files in folders of the repository."""
        return iter(self.deeper)

    def has(self, name: str) -> bool:
        """True when the commit has a file of this name."""
        return name in self.files

    def size(self, name: str) -> int:
        """Size of a file in bytes, as the Hub lists it."""
        try:
            return self.files[name]
        except KeyError:
            raise CkptfixError("no such file", place=Place(visible(name))) from None

    def read(self, name: str) -> bytes:
        """The whole of a JSON file."""
        self._read_ahead()
        with self._lock:
            ahead = self._ahead.pop(name, None)
        return self._read(name) if ahead is None else ahead.result()

    def _read_ahead(self) -> None:
        """Prefetch the files that are read of every checkpoint, when the first of them is read.

        Failures are reported when the file itself is read.
        """
        with self._lock:
            if self._prefetched.is_set() or self.client is None:
                return
            self._prefetched.set()
            files = [
                name for name in (*METADATA_FILES, INDEX_FILE, *JSON_FILES) if name in self.files
            ]
            pool = ThreadPoolExecutor(len(files) + 1)
            self._ahead.update((name, pool.submit(self._read, name)) for name in files)
            if SINGLE_FILE in self.files and INDEX_FILE not in self.files:
                pool.submit(self.read_range, SINGLE_FILE, 0, 1)
            pool.shutdown(wait=False)

    def _read(self, name: str) -> bytes:
        size = self.size(name)
        require_json_size(visible(name), size)
        known = self.cache.file(self.commit, name)
        if known is not None and len(known) == size:
            return known
        data = self._fetch(name, 0, size)
        self.cache.keep_file(self.commit, name, data)
        return data

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from byte `start`; nothing is fetched twice.

        Only the beginning of a file is ever requested, so the known part grows at its end. The
        first request is for `FIRST_BYTES`. The length is followed by the header: once that is read,
        nothing beyond it is kept.
        """
        size = self.size(name)
        end = min(start + length, size)
        with self._lock:
            one_at_a_time = self._reading.setdefault(name, threading.Lock())
        with one_at_a_time:
            known = self._heads.get(name)
            if known is None:
                known = self.cache.head(self.commit, name)
            if len(known) < end:
                wanted = end if known else max(end, min(FIRST_BYTES, size))
                known += self._fetch(name, len(known), wanted - len(known))
            if start:
                known = known[:end]
                self.cache.keep_head(self.commit, name, known)
            self._heads[name] = known
            return known[start:end]

    def _fetch(self, name: str, start: int, length: int) -> bytes:
        if self.client is None:
            raise CkptfixError(
                "not cached, and `offline` forbids requests",
                place=Place(f"{self.where}/{visible(name)}"),
                advice="run once without `offline`",
            )
        with self._lock:
            file = self._opened.setdefault(name, RemoteFile(name, self.files[name]))
        return self.client.fetch(self.commit, file, start, length)


class CachedSnapshot(Struct, frozen=True):
    """A directory of huggingface_hub's cache, which needs no request."""

    source: DirectorySource
    commit: str


def open_repository(
    repository: Repository, *, offline: bool = False, refresh: bool = False
) -> HubSource | CachedSnapshot:
    """The source for a repository.

    A complete snapshot in huggingface_hub's cache is used as it is, without checking
    whether the branch has moved; `refresh` queries the Hub.

    Raises:
        CkptfixError: it cannot be read, or is not in the cache and may not be fetched.
    """
    client = HubClient(repository)
    cache = RepositoryCache.of(client.origin[1], repository.name)
    revision = repository.revision or DEFAULT_BRANCH
    exact = revision if is_commit(revision) else None
    folder = repository_folder(Path(constants.HF_HUB_CACHE), repository.name)
    offline = offline or constants.HF_HUB_OFFLINE
    if offline and refresh:
        raise CkptfixError(
            "`refresh` queries the Hub, but `offline` or HF_HUB_OFFLINE forbids requests"
        )
    if not refresh or exact:
        commit = exact or cached_commit(folder, revision)
        if commit and (snapshot := whole_snapshot(folder, commit)):
            return CachedSnapshot(DirectorySource.open(str(snapshot)), commit)
    commit = exact or (cache.commit_of(revision) if offline else None)
    listed = cache.listing(commit) if commit else None
    if commit and listed is not None:
        known = Commit(commit, listed)
    elif offline:
        raise CkptfixError(
            f"{visible(str(repository))}: not cached, and `offline` or HF_HUB_OFFLINE forbids "
            "requests",
            advice="run once without it",
        )
    else:
        known = client.look_up()
        cache.keep_commit(revision, known.sha)
        cache.keep_listing(known.sha, known.files)
    files = _beside_config(known.files, repository)
    deeper = tuple(sorted(name for name in known.files if "/" in name))
    return HubSource(repository, known.sha, files, cache, None if offline else client, deeper)


def _beside_config(files: dict[str, int], repository: Repository) -> dict[str, int]:
    """The files in the top folder; unprintable names are refused where a file is used."""
    beside = {}
    for name, size in files.items():
        if "/" in name or "\\" in name or name in (".", ".."):
            continue
        if name.isprintable():
            beside[name] = size
        elif name.endswith((".safetensors", ".json")):
            raise CkptfixError(
                f"{visible(str(repository))}: the name of a file is unprintable: {visible(name)!r}"
            )
    return beside
