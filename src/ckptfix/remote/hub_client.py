"""Requests to a Hub, through huggingface_hub: its session, tokens, endpoint and proxies.

Bytes are requested by range, and no more than requested is read: a response that would send the
whole file is dropped at its headers. huggingface_hub has no ranged read, and its own retries wait
as long as a server demands, so byte requests are made here, on its session.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, logging
from msgspec import Struct

from ckptfix import __version__
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.remote.hub_failures import (
    NOT_A_HUB,
    CutShortError,
    TooSlowError,
    as_sentence,
    pause_after,
)
from ckptfix.remote.hub_library import HTTP, Answer, open_session
from ckptfix.remote.reference import Repository, is_commit
from ckptfix.remote.retries import RetryPolicy
from ckptfix.text import visible

LIBRARY: Final = "ckptfix"
FAILURES: Final = (
    HfHubHTTPError,
    HTTP.errors,
    OSError,
    CutShortError,
    TooSlowError,
    *NOT_A_HUB,
)


class Commit(Struct, frozen=True):
    """What a revision currently is."""

    sha: str
    files: dict[str, int]
    """Path in the repository -> size in bytes."""


@dataclass
class RemoteFile:
    """One file of a commit, and what earlier responses revealed about it."""

    name: str
    size: int
    location: str = ""
    """Where the Hub redirected to; requested directly next time."""
    etags: dict[str, str] = field(default_factory=dict)
    """Sender (`hub` or `storage`) -> ETag."""


class HubClient:
    """One repository of the Hub."""

    def __init__(self, repository: Repository) -> None:
        # Log messages of huggingface_hub may contain control characters from the server.
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        self.repository = repository
        self.api = HfApi(library_name=LIBRARY, library_version=__version__)
        try:
            self.origin = urlsplit(self.api.endpoint)[:2]
        except ValueError as error:
            raise CkptfixError(
                f"HF_ENDPOINT={visible(self.api.endpoint)!r}: not a URL ({error})"
            ) from error
        self.retry = RetryPolicy.of_environment(float(constants.HF_HUB_DOWNLOAD_TIMEOUT))

    def look_up(self) -> Commit:
        """The commit of the revision, with all files and sizes: one request.

        Raises:
            CkptfixError: the request failed.
        """
        name, revision = self.repository.name, self.repository.revision
        with self.translated_errors():
            info = self.retry.insist(
                lambda: self.api.model_info(
                    name, revision=revision, files_metadata=True, timeout=self.retry.timeout
                ),
                pause_after,
            )
        files = {file.rfilename: file.size for file in info.siblings or ()}
        if not info.sha or not is_commit(info.sha) or None in files.values():
            raise CkptfixError(
                f"{self.repository}: the server's reply lacks a commit or a file size",
                advice="HF_ENDPOINT must point to a Hub-compatible server",
            )
        return Commit(info.sha, {file: size or 0 for file, size in files.items()})

    def fetch(self, commit: str, file: RemoteFile, start: int, length: int) -> bytes:
        """`length` bytes of a file from byte `start`, which the file must have.

        Raises:
            CkptfixError: the request failed, the server would send more than requested, or the
                file has changed.
        """
        if not length:
            return b""
        with self.translated_errors():
            return self.retry.insist(lambda: self._fetch(commit, file, start, length), pause_after)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Translate transport errors into a CkptfixError."""
        open_session()
        try:
            yield
        except FAILURES as error:
            raise as_sentence(error, str(self.repository)) from error

    def _fetch(self, commit: str, file: RemoteFile, start: int, length: int) -> bytes:
        url = hf_hub_url(
            self.repository.name, file.name, revision=commit, endpoint=self.api.endpoint
        )
        direct = file.location
        headers = {"Accept-Encoding": "identity"}
        if not direct or urlsplit(direct)[:2] == self.origin:
            headers |= build_hf_headers(library_name=LIBRARY, library_version=__version__)
        whole = start == 0 and length == file.size
        if not whole:
            headers["Range"] = f"bytes={start}-{start + length - 1}"
        file.location = ""  # a signed location may have expired
        with HTTP.stream(direct or url, headers, self.retry.timeout) as answer:
            if direct and 400 <= answer.status_code < 500:
                raise CutShortError
            hf_raise_for_status(answer)  # type: ignore[arg-type]
            if not whole:
                _require_range(answer, file, start)
            _require_same(answer, file, commit, direct=bool(direct))
            data = _read(answer, length, self.retry.deadline(length), file)
        if direct or answer.history:
            file.location = direct or str(answer.url)
        return data


def _require_range(answer: Answer, file: RemoteFile, start: int) -> None:
    """Refuse a response that is not the requested range, before reading its body."""
    if answer.status_code != 206:
        raise CkptfixError(
            "the server ignores range requests and would send the whole file "
            f"({file.size / 1e9:.1f} GB); nothing was read",
            place=Place(visible(file.name)),
            advice="use another endpoint, or download the checkpoint and pass its directory",
        )
    sent = answer.headers.get("Content-Range", "")
    if not sent.startswith(f"bytes {start}-"):
        raise CkptfixError(
            "the server returned a different byte range than requested "
            f"({visible(sent) or 'no range'})",
            place=Place(visible(file.name)),
        )
    total = sent.rpartition("/")[2]
    if total.isdecimal() and int(total) != file.size:
        raise _changed(file, f"it has {total} bytes, but {file.size} are listed")


def _require_same(answer: Answer, file: RemoteFile, commit: str, *, direct: bool) -> None:
    """Refuse bytes of a file that has changed since the first request."""
    if (_first_header(answer, "X-Repo-Commit") or commit) != commit:
        raise _changed(file, "the server returned a different commit")
    sent: dict[str, str | None] = {}
    if direct or answer.history:
        sent["storage"] = answer.headers.get("ETag")
    if not direct:
        sent["hub"] = _first_header(answer, "X-Linked-ETag") or _first_header(answer, "ETag")
        # The Hub may redirect to a different storage, which has its own ETags.
        file.etags.pop("storage", None)
    for sender, etag in sent.items():
        if etag and file.etags.setdefault(sender, etag) != etag:
            raise _changed(file, "its ETag changed")


def _first_header(answer: Answer, header: str) -> str | None:
    """The header of the first response that has it; redirects come before the last response."""
    answers = (*answer.history, answer)
    return next((a.headers[header] for a in answers if header in a.headers), None)


def _changed(file: RemoteFile, why: str) -> CkptfixError:
    return CkptfixError(
        f"changed on the server while being read: {why}",
        place=Place(visible(file.name)),
        advice="run again",
    )


def _read(answer: Answer, length: int, deadline: float, file: RemoteFile) -> bytes:
    parts: list[bytes] = []
    here = 0
    for part in HTTP.parts(answer):
        parts.append(part)
        here += len(part)
        if here > length:
            raise _changed(file, f"the server sent more than the {length} bytes requested")
        if here < length and time.monotonic() > deadline:
            raise TooSlowError(f"only {here} of {length} bytes arrived in time")
    if here < length:
        raise CutShortError
    return b"".join(parts)
