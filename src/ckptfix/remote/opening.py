"""From a checkpoint's name to its source."""

from msgspec import Struct

from ckptfix.checkpoint.source import DirectorySource, Source
from ckptfix.errors import CkptfixError
from ckptfix.remote.folders import checkpoints_below
from ckptfix.remote.reference import Directory, Reference, Repository
from ckptfix.text import visible


class NetworkPolicy(Struct, frozen=True):
    """Network access policy of a command."""

    revision: str | None = None
    offline: bool = False
    refresh: bool = False
    """Query the Hub even if the local cache has a snapshot."""


DEFAULT_POLICY = NetworkPolicy()


class Opened(Struct, frozen=True):
    """A source and its origin."""

    source: Source
    reference: Reference
    commit: str = ""
    """The commit of a repository; empty for anything else."""

    @property
    def note(self) -> str:
        """A note for the user before the report, or empty."""
        if self.commit and isinstance(self.source, DirectorySource):
            return (
                f"{visible(str(self.reference))}: read from the local cache, commit "
                f"{self.commit[:12]}; use `refresh` to query the Hub for the newest"
            )
        return ""


def open_reference(reference: Reference, policy: NetworkPolicy) -> Opened:
    """The source; huggingface_hub and fsspec are only imported if needed.

    Raises:
        CkptfixError: there is none, or it cannot be reached.
    """
    if isinstance(reference, Directory):
        return _open_directory(reference)
    if isinstance(reference, Repository):
        return _open_repository(reference, policy)
    if policy.offline:
        raise CkptfixError(
            f"{visible(reference.url)}: URLs are never cached, so `offline` cannot read it"
        )
    from ckptfix.remote.url import UrlSource  # noqa: PLC0415

    return Opened(UrlSource.open(reference.url), reference)


def _open_directory(directory: Directory) -> Opened:
    try:
        source = DirectorySource.open(directory.path)
        _require_one(directory.path)
        return Opened(source, directory)
    except CkptfixError as error:
        if not directory.instead:
            raise
        advice = f"for the Hub repository write {directory.instead}"
        raise CkptfixError(error.problem, place=error.place, advice=advice) from error


def _require_one(path: str) -> None:
    below = checkpoints_below(path)
    if below:
        several = len(below) > 1
        what = f"a directory of {len(below):,} checkpoints, not one" if several else "not a model"
        one = "one of them, such as " if several else ""
        raise CkptfixError(f"{visible(path)}: {what}", advice=f"name {one}{visible(below[0])}")


def _open_repository(repository: Repository, policy: NetworkPolicy) -> Opened:
    try:
        from ckptfix.remote.hub import CachedSnapshot, open_repository  # noqa: PLC0415
        from ckptfix.remote.hub_failures import as_either  # noqa: PLC0415
    except (ImportError, ValueError) as error:
        # huggingface_hub reads its environment variables when it is imported.
        why = visible(" ".join(f"{type(error).__name__}: {error}".split()))
        raise CkptfixError(
            f"{visible(str(repository))}: huggingface_hub cannot be imported ({why})",
            advice="check its environment variables (HF_*), and that its version is 0.34 or later",
        ) from error

    try:
        found = open_repository(repository, offline=policy.offline, refresh=policy.refresh)
    except CkptfixError as error:
        if not repository.like_a_path:
            raise
        raise as_either(error, str(repository)) from error.__cause__
    source = found.source if isinstance(found, CachedSnapshot) else found
    return Opened(source, repository, found.commit)
