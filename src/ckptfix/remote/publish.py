"""A pull request on the Hub: one commit of the files that change, through huggingface_hub."""

import re
from collections.abc import Mapping

from huggingface_hub import CommitOperationAdd, get_token
from huggingface_hub.errors import HfHubHTTPError
from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.remote.hub_client import FAILURES, HubClient
from ckptfix.remote.hub_failures import as_sentence, pause_after
from ckptfix.remote.hub_library import HTTP
from ckptfix.remote.reference import Repository, is_commit
from ckptfix.text import visible


class PullRequest(Struct, frozen=True):
    """A pull request that was opened."""

    url: str
    revision: str
    """`refs/pr/N`: what to check or to serve before it is merged."""


def require_token(repository: Repository) -> None:
    """Check for a token before any work is done.

    Raises:
        CkptfixError: there is none.
    """
    if not get_token():
        raise CkptfixError(
            f"{repository}: a pull request needs a Hub token",
            advice="log in with hf auth login, or set HF_TOKEN",
        )


def open_pull_request(
    repository: Repository, commit: str, files: Mapping[str, bytes], title: str, body: str
) -> PullRequest:
    """Open it against the revision that the user named, made from the commit that was read.

    Raises:
        CkptfixError: the Hub rejects it. It is sent once, unless the Hub rejects it for its
            number of requests: a second one could be a second pull request.
    """
    client = HubClient(repository)
    HTTP.set_timeout(3 * client.retry.timeout)  # the Hub writes a commit before it answers

    def send() -> PullRequest:
        made = client.api.create_commit(
            repository.name,
            [CommitOperationAdd(name, data) for name, data in files.items()],
            commit_message=title,
            commit_description=body,
            revision=None if is_commit(repository.revision) else repository.revision,
            parent_commit=commit,
            create_pr=True,
        )
        url = visible(made.pr_url or made.commit_url)
        number = re.search(r"/discussions/(\d+)", url)
        return PullRequest(url, f"refs/pr/{number[1]}" if number else made.oid)

    try:
        return client.retry.insist(send, _pause_after_refusal)
    except FAILURES as error:
        raise _as_sentence(error, repository) from error


def _pause_after_refusal(error: Exception) -> float | None:
    if isinstance(error, HfHubHTTPError) and error.response.status_code == 429:
        return pause_after(error)
    return None


def _as_sentence(error: Exception, repository: Repository) -> CkptfixError:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (401, 403):
        server_message = error.server_message if isinstance(error, HfHubHTTPError) else None
        reason = f": {visible(' '.join(server_message.split()))}" if server_message else ""
        return CkptfixError(
            f"{repository}: the Hub refused the pull request (HTTP {status}{reason})",
            advice="use a token with write access, or use `output=DIR` and upload the files by "
            "hand",
        )
    failure = as_sentence(error, str(repository))
    if status is None or status >= 500:
        page = f"{repository.name}/discussions"
        return CkptfixError(
            failure.problem,
            advice=f"check {page} to see whether the pull request was opened before retrying",
        )
    return failure
