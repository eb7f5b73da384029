"""How many comparisons of names and patterns a checkpoint may cost, and how long names may become.

With the indexes of this package, few are needed. Names and patterns can be written so that an index
does not help; individual comparisons are then counted and limited.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST_COMPARISONS: Final = 200_000_000
"""About ten seconds; an ordinary checkpoint costs thousands, a million tensors cost millions."""

LONGEST_NAME: Final = 2_000
"""Characters. Rules that double a name would exhaust memory; real names are far shorter."""


class NameLengthError(Exception):
    """A rule produces a name longer than `LONGEST_NAME`."""


class EffortError(Exception):
    """More comparisons than a checkpoint may cost."""


class _Meter:
    """Comparisons made since the last `limited_effort` began."""

    def __init__(self) -> None:
        self.spent = 0


_meter = _Meter()


def spend(comparisons: int) -> None:
    """Count comparisons that are about to be made.

    Raises:
        EffortError: they exceed `MOST_COMPARISONS`.
    """
    _meter.spent += comparisons
    if _meter.spent > MOST_COMPARISONS:
        raise EffortError


def spent() -> int:
    """Comparisons since the last `limited_effort` began."""
    return _meter.spent


@contextmanager
def limited_effort() -> Iterator[None]:
    """Count from zero in a block."""
    before = _meter.spent
    _meter.spent = 0
    try:
        yield
    finally:
        _meter.spent = before
