"""Timeouts and retries."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ckptfix.errors import CkptfixError

RETRIES: Final = "CKPTFIX_RETRIES"
FIRST_WAIT: Final = "CKPTFIX_RETRY_WAIT"
SLOWEST: Final = 10_000
"""Bytes a second: an answer that comes slower than this is given up."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """What a request may cost."""

    timeout: float
    """Seconds without a byte."""
    retries: int = 4
    first_wait: float = 1.0
    """Seconds before the first retry; each later one waits twice as long."""
    longest_wait: float = 60.0
    """Give up if the server asks for a longer pause."""

    @classmethod
    def of_environment(cls, timeout: float) -> "RetryPolicy":
        """With CKPTFIX_RETRIES and CKPTFIX_RETRY_WAIT where they are set.

        Raises:
            CkptfixError: one of them is no number.
        """
        retries = _number(RETRIES, cls.retries)
        return cls(timeout, int(retries), _number(FIRST_WAIT, cls.first_wait))

    def deadline(self, nbytes: int) -> float:
        """By when `nbytes` must have come, on the monotonic clock."""
        return time.monotonic() + self.timeout + nbytes / SLOWEST

    def insist(
        self, ask: Callable[[], Answer], pause_after: Callable[[Exception], float | None]
    ) -> Answer:
        """The answer of `ask`, asked again after the failures that `pause_after` lets pass.

        Args:
            ask: the request.
            pause_after: seconds that the server wants after a failure, 0 where it says nothing,
                None where asking again is no use.

        Raises:
            Exception: that of the last attempt.
        """
        wait = self.first_wait
        for left in reversed(range(self.retries + 1)):
            try:
                return ask()
            except Exception as error:
                pause = pause_after(error)
                if left == 0 or pause is None or pause > self.longest_wait:
                    raise
                time.sleep(max(pause, wait))
                wait *= 2
        raise AssertionError("the last attempt returns or raises")


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1e6:
        raise CkptfixError(f"{variable}={text!r}: expected a non-negative number")
    return number
