"""Untrusted regular expressions, with a limit on the time they may take.

`re:` patterns in the metadata, exclude patterns as SGLang reads them, and mapper files hold
expressions that may backtrack exponentially. They must match as in the runtimes, so Python's own
`re` runs them, and a process timer limits their time: `re` runs signal handlers while it matches.
"""

import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeVar

SECONDS: Final = 2.0
"""Processor time that all matches together may take, besides `SECONDS_PER_MATCH`."""
SECONDS_PER_MATCH: Final = 0.0002
"""Added for every match: a million names against a long expression are not an attack."""
MOST_MATCHES: Final = 100_000
"""Matches for which time is added: many names against many expressions are bounded too."""
_TICK: Final = 0.1

_T = TypeVar("_T")


class RegexTimeError(Exception):
    """Expressions take too long; the message is the last one."""

    def __init__(self, expression: str, seconds: float) -> None:
        super().__init__(expression)
        self.seconds = seconds


class _Meter:
    """The current expression, the number of matches, and their time."""

    def __init__(self) -> None:
        self.expression: str | None = None
        self.matches = 0
        self.seconds = 0.0

    def tick(self, signal_number: int, frame: FrameType | None) -> None:
        """Called by the timer, in the middle of a match or outside of one."""
        del signal_number, frame
        if self.expression is None:
            return
        self.seconds += _TICK
        if self.seconds > SECONDS + SECONDS_PER_MATCH * min(self.matches, MOST_MATCHES):
            raise RegexTimeError(self.expression, self.seconds)


_meter = _Meter()


class UntrustedRegex:
    """A compiled expression; compiling and matching it are timed."""

    def __init__(self, expression: str) -> None:
        self.pattern = expression
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about its style, which cannot be changed here
                self._regex = self._timed(re.compile, expression)
        except (RecursionError, OverflowError) as error:
            raise re.error(str(error), expression) from error

    def _timed(self, function: Callable[..., _T], *arguments: object) -> _T:
        _meter.expression = self.pattern
        _meter.matches += 1
        try:
            return function(*arguments)
        finally:
            _meter.expression = None

    def match(self, text: str) -> re.Match[str] | None:
        """As `re.Pattern.match`."""
        return self._timed(self._regex.match, text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """As `re.Pattern.fullmatch`."""
        return self._timed(self._regex.fullmatch, text)

    def search(self, text: str) -> re.Match[str] | None:
        """As `re.Pattern.search`."""
        return self._timed(self._regex.search, text)

    def sub(self, new: str, text: str) -> str:
        """As `re.Pattern.sub`."""
        return self._timed(self._regex.sub, new, text)


@contextmanager
def limited_regexes() -> Iterator[None]:
    """Keep the matches of a block within their time; outside the main thread there is no limit.

    Raises:
        RegexTimeError: they took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _meter.matches, _meter.seconds
    _meter.matches, _meter.seconds = 0, 0.0
    handler = signal.signal(signal.SIGVTALRM, _meter.tick)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, _TICK, _TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        signal.signal(signal.SIGVTALRM, handler)
        _meter.matches, _meter.seconds = before
