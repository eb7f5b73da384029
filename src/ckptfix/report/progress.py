"""What a command is doing, shown on a terminal only; nothing in a pipe.

Rich is imported only once a command has run for `PATIENCE` seconds.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from ckptfix.progress import Step
from ckptfix.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE: Final = 0.5
"""Seconds that a command may run in silence."""


def is_terminal(stream: TextIO) -> bool:
    """True where a bar can be drawn."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def showing(stream: TextIO) -> Iterator[Callable[[Step], None]]:
    """Show the steps that the function is called with, from `PATIENCE` seconds on."""
    if not is_terminal(stream):
        yield lambda _: None
        return
    display = _Display(stream)
    try:
        yield display.step
    finally:
        display.close()


class _Display:
    """The newest step of each checkpoint, as one bar each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._steps: dict[str, Step] = {}
        self._bar: Progress | None = None
        self._closed = False
        self._tasks: dict[str, TaskID] = {}
        self._timer = threading.Timer(PATIENCE, self._open)
        self._timer.daemon = True
        self._timer.start()

    def step(self, step: Step) -> None:
        with self._lock:
            before = self._steps.get(step.checkpoint)
            if before is not None and before.what == step.what and before.done > step.done:
                return  # threads overtake each other
            self._steps[step.checkpoint] = step
            if self._bar is not None:
                self._draw(step)

    def _open(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[part]}", markup=False),
            TimeElapsedColumn(),
        )
        with self._lock:
            if self._closed:
                return
            console = Console(file=self._stream)
            self._bar = Progress(*columns, console=console, transient=True)
            self._bar.start()
            for step in self._steps.values():
                self._draw(step)

    def _draw(self, step: Step) -> None:
        assert self._bar is not None  # noqa: S101 - only called while it is open
        if step.checkpoint not in self._tasks:
            self._tasks[step.checkpoint] = self._bar.add_task("", total=None, part="")
        self._bar.update(
            self._tasks[step.checkpoint],
            description=printable(f"{step.checkpoint}: {step.what}"),
            total=step.total,
            completed=step.done,
            part="" if step.total is None else f"{step.done:,}/{step.total:,}",
        )

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()
