"""What an operation reports while it works, on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ckptfix.progress import Listener
from ckptfix.report.console import line, show
from ckptfix.report.progress import showing


@contextmanager
def listening() -> Iterator[Listener]:
    """Notes as lines, steps as a bar on a terminal."""
    with showing(sys.stderr) as step:
        yield Listener(step, lambda note: show([line(f"note: {note}")], sys.stderr))
