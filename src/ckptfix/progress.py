"""What a long operation is doing: callbacks, nothing is printed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an operation."""

    what: str
    """The activity: `reading headers`."""
    checkpoint: str
    """The checkpoint concerned."""
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
    """A note for the user about the origin of the result, one sentence."""


SILENT: Final = Listener()
