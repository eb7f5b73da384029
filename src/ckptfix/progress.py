"""What a long operation is doing, called back and never printed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an operation."""

    what: str
    """What is being done: `reading headers`."""
    checkpoint: str
    """What it is being done to."""
    done: int = 0
    total: int | None = None
    """Number of equal parts of this step; None if unknown."""
    in_bytes: bool = False
    """`done` and `total` are numbers of bytes."""


@dataclass(frozen=True)
class Listener:
    """What an operation calls while it works; both may be called from several threads."""

    step: Callable[[Step], None] = lambda _: None
    """At the start of a step, and again whenever `done` grows."""
    note: Callable[[str], None] = lambda _: None
    """Something the user should know about where the result comes from, one sentence."""


SILENT: Final = Listener()
