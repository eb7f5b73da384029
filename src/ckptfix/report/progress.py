"""What a command is doing, shown on a terminal only; nothing in a pipe.

Rich is imported only once a command has run for `PATIENCE` seconds.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from ckptfix.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ckptfix.progress import Step

PATIENCE: Final = 0.5
"""Seconds that a command may run without a bar."""


def is_terminal(stream: TextIO) -> bool:
    """True where a bar can be drawn."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


_displays: list["_Display"] = []
"""Displays that may currently have a bar on the terminal."""


def erase() -> None:
    """Erase the bar before something else is printed.

    Rich would print everything above the bar and redraw the bar for each line, which takes minutes,
    and breaks long lines, for the patch of a large checkpoint.
    """
    for display in _displays:
        display.erase()


@contextmanager
def showing(stream: TextIO) -> Iterator[Callable[["Step"], None]]:
    """Show the steps that the function is called with, from `PATIENCE` seconds on."""
    if not is_terminal(stream):
        yield lambda _: None
        return
    display = _Display(stream)
    _displays.append(display)
    try:
        yield display.step
    finally:
        _displays.remove(display)
        display.close()


def _part(step: "Step") -> str:
    if step.total is None:
        return ""
    from rich.filesize import decimal  # noqa: PLC0415 - loaded by the bar that shows it

    shown = decimal if step.in_bytes else "{:,}".format
    return f"{shown(step.done)}/{shown(step.total)}"


class _Display:
    """The newest step of each checkpoint, as one bar each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._steps: dict[str, Step] = {}
        self._bar: Progress | None = None
        self._closed = False
        self._silent_until = 0.0
        """When a bar may be opened after it was erased, in seconds of the monotonic clock."""
        self._tasks: dict[str, TaskID] = {}
        self._timer = threading.Timer(PATIENCE, self._open)
        self._timer.daemon = True
        self._timer.start()

    def step(self, step: "Step") -> None:
        with self._lock:
            before = self._steps.get(step.checkpoint)
            if before is not None and before.what == step.what and before.done > step.done:
                return  # threads overtake each other
            self._steps[step.checkpoint] = step
            if self._bar is not None:
                self._draw(step)
                return
            again = self._silent_until and time.monotonic() > self._silent_until
        if again:
            self._open()

    def erase(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._silent_until = time.monotonic() + PATIENCE
            if self._bar is not None:
                self._bar.stop()
                self._bar = None
                self._tasks.clear()

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
            if self._closed or self._bar is not None:
                return
            self._bar = Progress(
                *columns,
                console=Console(file=self._stream),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
            for step in self._steps.values():
                self._draw(step)

    def _draw(self, step: "Step") -> None:
        assert self._bar is not None  # noqa: S101 - only called while it is open
        if step.checkpoint not in self._tasks:
            self._tasks[step.checkpoint] = self._bar.add_task("", total=None, part="")
        self._bar.update(
            self._tasks[step.checkpoint],
            description=printable(f"{step.checkpoint}: {step.what}"),
            total=step.total,
            completed=step.done,
            part=_part(step),
        )

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()
