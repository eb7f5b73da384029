"""Timeouts and retries."""

import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Struct

from ckptfix.errors import CkptfixError

RETRIES: Final = "CKPTFIX_RETRIES"
FIRST_WAIT: Final = "CKPTFIX_RETRY_WAIT"
SLOWEST: Final = 10_000
"""Bytes per second; a slower response is abandoned."""

Answer = TypeVar("Answer")


class RetryPolicy(Struct, frozen=True):
    """Limits on the time that a request may take."""

    timeout: float
    """Seconds without a byte."""
    retries: int = 4
    first_wait: float = 1.0
    """Seconds before the first retry; each later one waits twice as long."""
    longest_wait: float = 60.0
    """Seconds; give up if the server demands a longer pause."""

    @classmethod
    def of_environment(cls, timeout: float) -> "RetryPolicy":
        """With CKPTFIX_RETRIES and CKPTFIX_RETRY_WAIT where they are set.

        Raises:
            CkptfixError: one of them is not a number.
        """
        usual = cls(timeout)
        retries = _number(RETRIES, usual.retries)
        return cls(timeout, int(retries), _number(FIRST_WAIT, usual.first_wait))

    def deadline(self, nbytes: int) -> float:
        """When `nbytes` must have arrived, on the monotonic clock."""
        return time.monotonic() + self.timeout + nbytes / SLOWEST

    def insist(
        self, request: Callable[[], Answer], pause_after: Callable[[Exception], float | None]
    ) -> Answer:
        """The result of `request`, repeated after the failures that `pause_after` allows.

        Args:
            request: called until it returns.
            pause_after: seconds that the server demands after a failure, 0 if it demands none,
                None if a retry cannot help.

        Raises:
            Exception: that of the last attempt.
        """
        wait = self.first_wait
        for left in reversed(range(self.retries + 1)):
            try:
                return request()
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
