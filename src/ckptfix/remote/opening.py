"""From what a user named to a source."""

from dataclasses import dataclass

from ckptfix.checkpoint.source import DirectorySource, Source
from ckptfix.errors import CkptfixError
from ckptfix.remote.reference import Directory, Reference, Repository
from ckptfix.text import visible


@dataclass(frozen=True)
class Reach:
    """How far a command may go for its bytes."""

    revision: str | None = None
    offline: bool = False
    refresh: bool = False
    """Ask the Hub even where a snapshot is in the local cache."""


HERE_AND_THERE = Reach()


@dataclass(frozen=True)
class Opened:
    """A source, and what is known of where it comes from."""

    source: Source
    reference: Reference
    commit: str = ""
    """Of the repository; empty for anything else."""

    @property
    def note(self) -> str:
        """What the user should know before the report, if anything."""
        if self.commit and isinstance(self.source, DirectorySource):
            return (
                f"{visible(str(self.reference))}: read from the local cache, commit "
                f"{self.commit[:12]}; --refresh asks the Hub for the newest"
            )
        return ""


def open_reference(reference: Reference, reach: Reach) -> Opened:
    """The source; huggingface_hub and fsspec are imported where one is needed.

    Raises:
        CkptfixError: there is none, or it cannot be reached.
    """
    if isinstance(reference, Directory):
        return Opened(_open_directory(reference), reference)
    if isinstance(reference, Repository):
        return _open_repository(reference, reach)
    if reach.offline:
        raise CkptfixError(
            f"{visible(reference.url)}: nothing of it is cached, and --offline allows no request"
        )
    from ckptfix.remote.url import UrlSource  # noqa: PLC0415

    return Opened(UrlSource.open(reference.url), reference)


def _open_directory(directory: Directory) -> DirectorySource:
    try:
        return DirectorySource.open(directory.path)
    except CkptfixError as error:
        if not directory.instead:
            raise
        advice = f"for the repository of the Hub write {directory.instead}"
        raise CkptfixError(error.problem, place=error.place, advice=advice) from error


def _open_repository(repository: Repository, reach: Reach) -> Opened:
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
        found = open_repository(repository, offline=reach.offline, refresh=reach.refresh)
    except CkptfixError as error:
        if not repository.like_a_path:
            raise
        raise as_either(error, str(repository)) from error.__cause__
    source = found.source if isinstance(found, CachedSnapshot) else found
    return Opened(source, repository, found.commit)
