"""A bar on a terminal while headers are read from afar; nothing in a pipe.

Rich is imported only where the bar is shown.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from ckptfix.checkpoint.source import Source
from ckptfix.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Watch = Callable[[Source], Source]
"""Gives a source that says when a header was read."""


@contextmanager
def watching(stream: TextIO) -> Iterator[Watch]:
    """Show a bar on `stream` while the sources that go through the function are read."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield _unwatched
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(file=stream), transient=True) as bar:
        yield lambda source: _WatchedSource(source, bar)


def _unwatched(source: Source) -> Source:
    return source


@dataclass
class _WatchedSource:
    """The source itself, which moves the bar by one for each shard file whose header is read."""

    source: Source
    bar: "Progress"
    task: "TaskID | None" = None
    read_headers: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def where(self) -> str:
        return self.source.where

    def names(self) -> tuple[str, ...]:
        return self.source.names()

    def has(self, name: str) -> bool:
        return self.source.has(name)

    def size(self, name: str) -> int:
        return self.source.size(name)

    def read(self, name: str) -> bytes:
        return self.source.read(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        with self.lock:
            if self.task is None:
                shards = sum(name.endswith(".safetensors") for name in self.names())
                self.task = self.bar.add_task(
                    printable(self.where).replace("[", "\\["), total=shards
                )
        data = self.source.read_range(name, start, length)
        if start:
            with self.lock:
                self.read_headers.add(name)
                done = len(self.read_headers)
                total = self.bar.tasks[self.task].total or 0
                self.bar.update(self.task, completed=done, visible=done < total)
        return data
