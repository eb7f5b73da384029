"""What a user can name: a directory, a Hub repository, or a URL.

Pure, except that it checks which paths exist. Imports neither huggingface_hub nor fsspec: a local
command pays for neither.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ckptfix.errors import CkptfixError, empty
from ckptfix.remote.cache_entry import CACHE_ENTRY, cache_snapshot
from ckptfix.remote.local_url import local_path
from ckptfix.text import visible

HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z0-9+.:-]+)?://")
_PART: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPOSITORY: Final = re.compile(rf"(?P<repo>{_PART}/{_PART})(?:@(?P<revision>.+))?")
"""As huggingface_hub 2.4.0 allows it (utils/_validators.py), with both parts."""
_URI: Final = "hf://"
_AMONG_MODELS: Final = "hf://models/"
_FILE_ENDINGS: Final = (".json", ".safetensors")
"""Extensions of files in a checkpoint."""
_REVISION: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/+-]*")


@dataclass(frozen=True)
class Directory:
    """A local path, which may not exist."""

    path: str
    instead: str = field(default="", compare=False)
    """How to write the repository that the user may mean; empty if it cannot be one."""

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Repository:
    """A model repository of the Hub."""

    name: str
    """`org/name`."""
    revision: str | None = None
    """A branch, a tag, `refs/pr/1` or a commit; None for the default branch."""
    like_a_path: bool = field(default=False, compare=False)
    """It could also be a relative path, but nothing exists there."""
    prefix: str = field(default="", compare=False)
    """Prefix that makes it a repository if it would be read as a path: `hf://`, else empty."""

    def __str__(self) -> str:
        name = f"{self.prefix}{self.name}"
        return f"{name}@{self.revision}" if self.revision else name


@dataclass(frozen=True)
class Url:
    """Any other URL that fsspec opens."""

    url: str

    def __str__(self) -> str:
        return self.url


Reference = Directory | Repository | Url


def parse_reference(text: str, revision: str | None = None) -> Reference:
    """What `text` names; a path that exists, or whose parent does, wins over a repository.

    Args:
        text: as the user wrote it.
        revision: the `revision` parameter.

    Raises:
        CkptfixError: an empty text, an invalid repository name, or a revision of something without
            revisions.
    """
    found = _parse(text)
    if revision is None:
        return found
    if not isinstance(found, Repository):
        instead = found.instead if isinstance(found, Directory) else ""
        raise CkptfixError(
            f"`revision` only works for Hub repositories, not for {visible(text)}",
            advice=f"for the repository write {instead}" if instead else "",
        )
    if found.revision not in (None, revision):
        raise CkptfixError(f"{visible(text)} cannot be used with `revision` {visible(revision)}")
    return replace(found, revision=_checked(revision, text))


def is_commit(revision: str | None) -> bool:
    """True for a commit hash."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def plain_name(repository: str) -> str:
    """A repository as `str` writes it, without the prefix: what a runtime takes."""
    return repository.removeprefix(_AMONG_MODELS).removeprefix(_URI)


def is_remote(text: str) -> bool:
    """True when the name is not a path on this machine."""
    return not isinstance(_parse(text), Directory)


def _parse(text: str) -> Reference:
    if not text.strip():
        raise empty("the name of a checkpoint")
    if not _SCHEME.match(text):
        return _of_plain_text(text)
    path = local_path(text)
    if path is not None:
        return _directory(path)
    if text.startswith(_URI):
        return _of_hf_uri(text)
    parts = urlsplit(text)
    own = urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc
    if parts.scheme in ("http", "https") and parts.netloc in HUB_HOSTS | {own} - {""}:
        return _of_page(text, parts.path)
    if not text.partition("://")[2].strip("/"):
        raise CkptfixError(
            f"{visible(text)}: names nothing after ://", advice="name the folder of a checkpoint"
        )
    return Url(text)


def _of_plain_text(text: str) -> Directory | Repository:
    """A path if it can be one, so that a mistyped path is not sent to a server."""
    match = _REPOSITORY.fullmatch(text.rstrip("/"))
    if match is None or _ask_disk(Path(text).exists):
        return _directory(text)
    name = match["repo"]
    if text.endswith("/") or _is_path(name):
        return Directory(text, _prefix_of(name) + text.rstrip("/"))
    return Repository(name, _checked(match["revision"], text), like_a_path=True)


def _directory(path: str) -> Directory:
    """A directory; for an entry of the Hub's cache, its snapshot, which servers accept."""
    if CACHE_ENTRY in path:
        snapshot = cache_snapshot(Path(path))
        path = str(snapshot) if snapshot else path
    return Directory(path)


def _is_path(name: str) -> bool:
    """True if `org/name` is read as a path, whether it exists or not."""
    return name.endswith(_FILE_ENDINGS) or _ask_disk(Path(name).parent.is_dir)


def _prefix_of(name: str) -> str:
    return _AMONG_MODELS if name.startswith("models/") else _URI  # the prefix is removed once


def _repository(name: str, revision: str | None = None) -> Repository:
    """A repository whose name is not a path, spelled so that it is read as a repository again."""
    return Repository(name, revision, prefix=_prefix_of(name) if _is_path(name) else "")


def _ask_disk(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False


def _of_hf_uri(text: str) -> Repository:
    """`hf://org/name`, `hf://models/org/name@revision`."""
    rest = text.removeprefix(_AMONG_MODELS).removeprefix(_URI).rstrip("/")
    if rest.startswith(("datasets/", "spaces/", "kernels/", "buckets/")):
        raise CkptfixError(f"{visible(text)}: not a model repository")
    match = _REPOSITORY.fullmatch(rest)
    if match is None:
        raise _no_repository(text)
    revision = match["revision"]
    return _repository(match["repo"], _checked(unquote(revision) if revision else None, text))


def _of_page(text: str, path: str) -> Repository:
    """A page of the Hub: the repository, one of its trees, files or pull requests."""
    parts = path.strip("/").split("/")
    if parts[:1] == ["models"]:
        parts = parts[1:]
    match = _REPOSITORY.fullmatch("/".join(parts[:2]))
    if match is None or match["revision"] or parts[0] in ("datasets", "spaces", "docs", "papers"):
        raise _no_repository(text)
    name, what, rest = match["repo"], parts[2:3], parts[3:]
    if not what:
        return _repository(name)
    if not rest:
        raise _no_repository(text)
    if what[0] in ("tree", "blob", "resolve", "raw", "commit"):
        return _repository(name, _checked(unquote(rest[0]), text))
    if what[0] == "discussions" and rest[0].isdecimal():
        return _repository(name, f"refs/pr/{rest[0]}")
    raise _no_repository(text)


def _checked(revision: str | None, text: str) -> str | None:
    if revision is None or _REVISION.fullmatch(revision):
        return revision
    raise CkptfixError(f"{visible(text)}: {visible(revision)!r} is not a branch, tag or commit")


def _no_repository(text: str) -> CkptfixError:
    return CkptfixError(
        f"{visible(text)}: does not name a model repository",
        advice="write org/name, or org/name@revision",
    )
