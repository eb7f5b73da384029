"""A whole checkpoint, weights too, into huggingface_hub's cache: its own download does that."""

import glob
import sys
from collections.abc import Collection

from huggingface_hub import snapshot_download
from huggingface_hub.utils import disable_progress_bars

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.remote.hub_client import HubClient
from ckptfix.remote.reference import Repository
from ckptfix.text import printable


def download(repository: Repository, commit: str, names: Collection[str]) -> DirectorySource:
    """The named files of a commit, as a directory of the cache.

    Raises:
        CkptfixError: they cannot be had.
    """
    # The bars show names as they are.
    if not sys.stderr.isatty() or any(name != printable(name) for name in names):
        disable_progress_bars()
    client = HubClient(repository)
    with client.told():
        snapshot = snapshot_download(
            repository.name,
            revision=commit,
            endpoint=client.api.endpoint,
            allow_patterns=[glob.escape(name) for name in names],
        )
    return DirectorySource.open(snapshot)
