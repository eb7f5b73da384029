"""What can go wrong between here and a Hub, each as one sentence; and whether to ask again."""

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
"""What huggingface_hub raises where an answer is no JSON, or lacks what it takes for granted."""


class CutShortError(Exception):
    """An answer ended before all of it was there."""


class TooSlowError(Exception):
    """Bytes came, but slower than anybody waits for."""


RETRIED: Final = frozenset({Failure.TIMEOUT, Failure.CUT, Failure.UNREACHABLE})

_RATE_LIMIT: Final = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')
"""Requests left, and seconds until there are more, as huggingface_hub 2.4.0 reads the header
RateLimit (utils/_http.py); releases before 1.2 do not."""


def pause_after(error: Exception) -> float | None:
    """Seconds that the server wants before the next attempt; None where another is no use."""
    if _failure(error) in RETRIED:
        return 0.0
    if isinstance(error, HfHubHTTPError) and error.response.status_code in RETRIED_STATUS:
        return _asked_pause(error)
    return None


def _failure(error: Exception) -> Failure | None:
    return Failure.CUT if isinstance(error, CutShortError) else HTTP.failure(error)


def _asked_pause(error: HfHubHTTPError) -> float:
    headers: Mapping[str, str] = error.response.headers
    limit = _RATE_LIMIT.search(headers.get("RateLimit", ""))
    if error.response.status_code == 429 and limit is not None and int(limit[1]) == 0:
        return float(limit[2])
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


_SENTENCES: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (
        GatedRepoError,
        "gated, and you have no access to it",
        "ask for access on its page, then log in with hf auth login or set HF_TOKEN",
    ),
    (DisabledRepoError, "the Hub has disabled this repository", ""),
    (
        RepositoryNotFoundError,
        "no such repository on the Hub that you may read",
        "check the name; for a private one log in with hf auth login or set HF_TOKEN",
    ),
    (RevisionNotFoundError, "the repository has no such revision", ""),
    (LocalEntryNotFoundError, "a file could not be downloaded", "try again later"),
    (EntryNotFoundError, "the Hub lists a file that it does not have", "run again"),
    (HFValidationError, "not a name that a repository can have", ""),
    (
        OfflineModeIsEnabled,
        "not in the cache, and HF_HUB_OFFLINE allows no request",
        "run once without it",
    ),
)
"""Exception, sentence, advice; a class stands before those that it is made from."""


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
            f"{shown}: the server's answer is not one of a Hub",
            advice="HF_ENDPOINT must be a server that speaks as the Hub does",
        )
    return CkptfixError(f"{shown}: {_of_connection(error)}", advice="try again later")


_EXISTS: Final = (GatedRepoError, DisabledRepoError, RevisionNotFoundError, EntryNotFoundError)
"""What the Hub says of a repository that it has."""


def as_either(error: CkptfixError, what: str) -> CkptfixError:
    """The failure where the name could be a directory as well, and neither is there.

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
        problem = f"as a repository of the Hub: {problem}"
    return CkptfixError(f"{shown}: no such directory here, and {problem}", advice=error.advice)


def _of_status(error: HfHubHTTPError, shown: str) -> CkptfixError:
    status = error.response.status_code
    if status == 429:
        pause = _asked_pause(error)
        asked = f", it asks to wait {pause:.0f} seconds" if pause else ""
        return CkptfixError(
            f"{shown}: too many requests, the Hub refuses more for now{asked}",
            advice="try again later; a token (HF_TOKEN) has a higher limit",
        )
    if status in (401, 403):
        return CkptfixError(
            f"{shown}: the Hub refuses access (HTTP {status})",
            advice="log in with hf auth login, or set HF_TOKEN to a token that may read it",
        )
    if status >= 500:
        return CkptfixError(f"{shown}: the server fails (HTTP {status})", advice="try again later")
    return CkptfixError(f"{shown}: the server answers HTTP {status}")


def _of_connection(error: Exception) -> str:
    if isinstance(error, TooSlowError):
        return f"the server is too slow, {error}"
    match _failure(error):
        case Failure.TIMEOUT:
            return (
                "the server does not answer in time (HF_HUB_DOWNLOAD_TIMEOUT sets how long to wait)"
            )
        case Failure.CUT:
            return "the server cuts the connection"
        case Failure.PROXY:
            return f"the proxy fails: {visible(HTTP.reason(error))}"
        case Failure.UNREACHABLE | Failure.NOT_SENT:
            return f"cannot connect to the server: {visible(HTTP.reason(error))}"
        case None:
            return visible(f"{type(error).__name__}: {error}")
