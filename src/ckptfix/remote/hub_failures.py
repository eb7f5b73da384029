"""Failures of requests to a Hub, each as one sentence, and whether to retry."""

import re
from collections.abc import Mapping
from typing import Final

from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ckptfix.errors import CkptfixError
from ckptfix.remote.hub_library import HTTP, Failure
from ckptfix.text import visible

RETRIED_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})


NOT_A_HUB: Final = (ValueError, KeyError, TypeError, AttributeError)
"""Raised by huggingface_hub if an answer is not JSON or has no expected field."""


class CutShortError(Exception):
    """An answer ended before it was complete."""


class TooSlowError(Exception):
    """Bytes arrived too slowly."""


RETRIED: Final = frozenset({Failure.TIMEOUT, Failure.CUT, Failure.UNREACHABLE})

_RATE_LIMIT: Final = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')
"""Requests left, and seconds until there are more, as huggingface_hub 2.4.0 reads the header
RateLimit (utils/_http.py); releases before 1.2 do not."""


def pause_after(error: Exception) -> float | None:
    """Seconds that the server demands before the next attempt; None if a retry cannot help."""
    if _failure(error) in RETRIED:
        return 0.0
    if isinstance(error, HfHubHTTPError) and error.response.status_code in RETRIED_STATUS:
        return _demanded_pause(error)
    return None


def _failure(error: Exception) -> Failure | None:
    return Failure.CUT if isinstance(error, CutShortError) else HTTP.failure(error)


def _demanded_pause(error: HfHubHTTPError) -> float:
    headers: Mapping[str, str] = error.response.headers
    limit = _RATE_LIMIT.search(headers.get("RateLimit", ""))
    if error.response.status_code == 429 and limit is not None and int(limit[1]) == 0:
        return float(limit[2])
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else 0.0


_SENTENCES: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (
        GatedRepoError,
        "this repository is gated and you have no access",
        "request access on its page, then log in with hf auth login or set HF_TOKEN",
    ),
    (DisabledRepoError, "the Hub has disabled this repository", ""),
    (
        RepositoryNotFoundError,
        "no such repository on the Hub (or you have no access)",
        "check the name; for a private repository log in with hf auth login or set HF_TOKEN",
    ),
    (RevisionNotFoundError, "the repository has no such revision", ""),
    (LocalEntryNotFoundError, "a file could not be downloaded", "try again later"),
    (EntryNotFoundError, "the Hub lists a file that it does not have", "run again"),
    (HFValidationError, "not a valid repository name", ""),
    (
        OfflineModeIsEnabled,
        "not cached, and HF_HUB_OFFLINE forbids requests",
        "run once without it",
    ),
)
"""Exception, sentence, advice; subclasses come before their base classes."""


def as_sentence(error: Exception, what: str) -> CkptfixError:
    """The failure for the user.

    Args:
        error: of huggingface_hub, its HTTP client, or one of this module.
        what: the repository, with its revision, as the user knows it.
    """
    shown = visible(what)
    for kind, sentence, advice in _SENTENCES:
        if isinstance(error, kind):
            return CkptfixError(f"{shown}: {sentence}", advice=advice)
    if isinstance(error, HfHubHTTPError):
        return _of_status(error, shown)
    if isinstance(error, NOT_A_HUB) and _failure(error) is None:
        return CkptfixError(
            f"{shown}: the server did not answer like a Hugging Face Hub",
            advice="HF_ENDPOINT must point to a Hub-compatible server",
        )
    return CkptfixError(f"{shown}: {_of_connection(error)}", advice="try again later")


_EXISTS: Final = (GatedRepoError, DisabledRepoError, RevisionNotFoundError, EntryNotFoundError)
"""Failures that prove that the repository exists."""


def as_either(error: CkptfixError, what: str) -> CkptfixError:
    """The failure if the name could also be a directory, and neither exists.

    Args:
        error: why the repository could not be opened, made by `as_sentence` or for the user.
        what: the repository, with its revision, as the user knows it.
    """
    cause = error.__cause__
    shown = visible(what)
    if isinstance(cause, _EXISTS) or not error.problem.startswith(f"{shown}: "):
        return error
    problem = error.problem.removeprefix(f"{shown}: ")
    if not isinstance(cause, RepositoryNotFoundError):
        problem = f"as a Hub repository: {problem}"
    return CkptfixError(f"{shown}: no such local directory, and {problem}", advice=error.advice)


def _of_status(error: HfHubHTTPError, shown: str) -> CkptfixError:
    status = error.response.status_code
    if status == 429:
        pause = _demanded_pause(error)
        when = f", retry after {pause:.0f} seconds" if pause else ""
        return CkptfixError(
            f"{shown}: rate-limited by the Hub{when}",
            advice="try again later; a token (HF_TOKEN) has a higher limit",
        )
    if status in (401, 403):
        return CkptfixError(
            f"{shown}: the Hub denied access (HTTP {status})",
            advice="log in with hf auth login, or set HF_TOKEN to a token with read access",
        )
    if status >= 500:
        return CkptfixError(f"{shown}: server error (HTTP {status})", advice="try again later")
    return CkptfixError(f"{shown}: unexpected HTTP status {status}")


def _of_connection(error: Exception) -> str:
    if isinstance(error, TooSlowError):
        return f"the server is too slow: {error}"
    match _failure(error):
        case Failure.TIMEOUT:
            return "the server did not answer in time (HF_HUB_DOWNLOAD_TIMEOUT sets the timeout)"
        case Failure.CUT:
            return "the server closed the connection"
        case Failure.PROXY:
            return f"proxy error: {visible(HTTP.reason(error))}"
        case Failure.UNREACHABLE | Failure.NOT_SENT:
            return f"cannot connect to the server: {visible(HTTP.reason(error))}"
        case None:
            return visible(f"{type(error).__name__}: {error}")
