"""What differs between releases of huggingface_hub, from 0.34 to 2.x; nothing else depends on it.

huggingface_hub 0.x sends its requests with requests, 1.x with httpx and 2.x with httpx2 (errors.py
of 0.34.0, 1.0.0 and 2.0.0). Our requests go through the same session, so that its proxies,
certificates and tokens apply to them. All other names that ckptfix uses are the same in every one
of these releases.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, auto
from functools import partial
from importlib import import_module
from typing import Any, Final, Protocol

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError

from ckptfix.errors import CkptfixError
from ckptfix.text import visible

_CHUNK: Final = 1 << 16
_SMALL_CHUNK: Final = 256
"""For urllib3 before 2.1, which waits until a chunk is full: a slow server is noticed in time."""


_opening: Final = threading.Lock()


def open_session() -> object:
    """The session of huggingface_hub; 1.0 to 1.2 would open a second one for a second thread.

    Raises:
        CkptfixError: the HTTP client rejects what the environment sets for it.
    """
    with _opening:
        try:
            return huggingface_hub.get_session()
        except Exception as error:
            why = visible(" ".join(f"{type(error).__name__}: {error}".split()))
            raise CkptfixError(
                f"the HTTP client of huggingface_hub cannot be created: {why}",
                advice="check the environment variables for proxies and certificates",
            ) from error


class Failure(Enum):
    """Why a request did not return a complete answer."""

    TIMEOUT = auto()
    CUT = auto()
    UNREACHABLE = auto()
    PROXY = auto()
    NOT_SENT = auto()


class Answer(Protocol):
    """What responses of requests, httpx and httpx2 have in common."""

    @property
    def status_code(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names ignore case."""

    @property
    def history(self) -> Sequence["Answer"]:
        """The redirects before it."""

    @property
    def url(self) -> object:
        """Where it comes from, after redirects; `str` of it is the URL."""


class HttpClient(Protocol):
    """The HTTP client of the installed huggingface_hub."""

    errors: type[Exception]
    """Base class of all its exceptions."""

    def failure(self, error: Exception) -> Failure | None:
        """The kind of failure; None for an exception that is about anything else."""

    def reason(self, error: Exception) -> str:
        """The cause of a failure in the words of the client."""

    def stream(
        self, url: str, headers: Mapping[str, str], timeout: float
    ) -> AbstractContextManager[Answer]:
        """GET a URL without reading the body; `timeout` is seconds without a byte."""

    def parts(self, answer: Answer) -> Iterator[bytes]:
        """The body of a streamed answer as it arrives."""

    def set_timeout(self, seconds: float) -> None:
        """Give up requests of huggingface_hub itself after so many seconds without a byte."""


class _Httpx:
    """httpx, and httpx2, which has the same names."""

    def __init__(self, name: str) -> None:
        module = import_module(name)
        self.errors: type[Exception] = module.HTTPError
        self._kinds = (
            (module.TimeoutException, Failure.TIMEOUT),
            (module.RemoteProtocolError, Failure.CUT),
            (module.ReadError, Failure.CUT),
            (module.ProxyError, Failure.PROXY),
            (module.NetworkError, Failure.UNREACHABLE),
            (module.TransportError, Failure.NOT_SENT),
        )

    def failure(self, error: Exception) -> Failure | None:
        return next((failure for kind, failure in self._kinds if isinstance(error, kind)), None)

    def reason(self, error: Exception) -> str:
        return str(error)

    def stream(
        self, url: str, headers: Mapping[str, str], timeout: float
    ) -> AbstractContextManager[Answer]:
        session: Any = open_session()
        answer: AbstractContextManager[Answer] = session.stream(
            "GET", url, headers=headers, timeout=timeout, follow_redirects=True
        )
        return answer

    def parts(self, answer: Answer) -> Iterator[bytes]:
        native: Any = answer
        yield from native.iter_bytes()

    def set_timeout(self, seconds: float) -> None:
        session: Any = open_session()
        session.timeout = seconds


class _Requests:
    """requests, which wraps some exceptions of urllib3 in its own."""

    def __init__(self, name: str) -> None:
        self._names = import_module(name).exceptions
        self._urllib3 = import_module("urllib3").exceptions
        self.errors: type[Exception] = self._names.RequestException

    def failure(self, error: Exception) -> Failure | None:
        names, inner = self._names, error.args[0] if error.args else None
        if isinstance(error, names.Timeout) or isinstance(inner, self._urllib3.TimeoutError):
            return Failure.TIMEOUT
        if isinstance(error, names.ProxyError):
            return Failure.PROXY
        if isinstance(error, names.ChunkedEncodingError) or isinstance(
            inner, self._urllib3.ProtocolError
        ):
            return Failure.CUT
        if isinstance(error, names.ConnectionError):
            return Failure.UNREACHABLE
        unsendable = (names.MissingSchema, names.InvalidSchema, names.InvalidURL)
        return Failure.NOT_SENT if isinstance(error, unsendable) else None

    def reason(self, error: Exception) -> str:
        inner = error.args[0] if error.args else error
        for wrapped in ("reason", "original_error"):
            inner = getattr(inner, wrapped, inner)
        return str(inner)

    @contextmanager
    def stream(self, url: str, headers: Mapping[str, str], timeout: float) -> Iterator[Answer]:
        session: Any = open_session()
        with session.get(url, headers=headers, timeout=timeout, stream=True) as answer:
            yield answer

    def parts(self, answer: Answer) -> Iterator[bytes]:
        native: Any = answer
        read, chunk = getattr(native.raw, "read1", None), _CHUNK
        if read is None:
            read, chunk = native.raw.read, _SMALL_CHUNK
        try:
            while part := read(chunk, decode_content=True):
                yield part
        except self._urllib3.HTTPError as error:
            raise self._names.ConnectionError(error) from error

    def set_timeout(self, seconds: float) -> None:
        session: Any = open_session()
        session.request = partial(session.request, timeout=seconds)


def _client() -> HttpClient:
    """The client that the exceptions of the installed huggingface_hub are made from."""
    clients: dict[str, Callable[[str], HttpClient]] = {
        "requests": _Requests,
        "httpx": _Httpx,
        "httpx2": _Httpx,
    }
    for base in HfHubHTTPError.__mro__:
        name = base.__module__.partition(".")[0]
        if name in clients:
            return clients[name](name)
    raise CkptfixError(
        f"huggingface_hub {huggingface_hub.__version__} uses an HTTP client that ckptfix does "
        "not support",
        advice="pip install 'huggingface_hub>=0.34,<3'",
    )


HTTP: Final = _client()
