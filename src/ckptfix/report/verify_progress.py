"""The progress bar of `verify`, on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckptfix.report.progress import is_terminal


@contextmanager
def progress_bar(nbytes: int, modules: int) -> Iterator[Callable[[int], None]]:
    """What to call with the bytes of each module that is done; silent in a pipe."""
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe does not pay for it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[modules]:,} of {task.fields[total_modules]:,} modules"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=nbytes, modules=0, total_modules=modules)
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += 1
            progress.update(task, advance=more, modules=done)

        yield advance
