"""Downloads a checkpoint with its weights into huggingface_hub's cache, by its own means."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from huggingface_hub import hf_hub_download
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from ckptfix.checkpoint.source import DirectorySource
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.remote.hub_client import HubClient
from ckptfix.remote.reference import Repository

_AT_ONCE: Final = 8
"""Files downloaded concurrently; the default of huggingface_hub's snapshot_download."""


def download(
    repository: Repository, commit: str, names: Collection[str], listener: Listener = SILENT
) -> DirectorySource:
    """The named files of a commit, as a directory of the cache.

    Raises:
        CkptfixError: they cannot be downloaded.
    """
    client = HubClient(repository)

    def fetch(name: str) -> Path:
        path = hf_hub_download(repository.name, name, revision=commit, endpoint=client.api.endpoint)
        return Path(path).parents[name.count("/")]

    def step(done: int) -> None:
        listener.step(Step("downloading weights", str(repository), done, len(names)))

    step(0)
    with client.translated_errors(), _silent(), ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [pool.submit(fetch, name) for name in names]
        try:
            folders = []
            for done, future in enumerate(as_completed(waiting), 1):
                folders.append(future.result())
                step(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return DirectorySource.open(str(folders[0]))


@contextmanager
def _silent() -> Iterator[None]:
    """huggingface_hub would draw its own bars on stderr, with unescaped names."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
