"""Which rules count: codes and prefixes of codes, the longer one deciding."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from ckptfix.errors import CkptfixError
from ckptfix.rules.registry import RULES
from ckptfix.text import visible

EVERY = "CKF"
"""The prefix of every code."""


@dataclass(frozen=True)
class Selection:
    """Codes and prefixes that are reported, and those that are not."""

    select: tuple[str, ...] = (EVERY,)
    ignore: tuple[str, ...] = ()

    def takes(self, code: str) -> bool:
        """True when the code is reported: the longest prefix decides, `ignore` among equals."""
        return _longest(self.select, code) > _longest(self.ignore, code)

    def without(self, codes: Iterable[str]) -> "Selection":
        """The same selection with additional ignored codes."""
        more = tuple(code for code in RULES if _longest(tuple(codes), code) > 0)
        return Selection(self.select, (*self.ignore, *more))


EVERYTHING: Final = Selection()


def _longest(prefixes: Iterable[str], code: str) -> int:
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=0)


def parse_codes(texts: Iterable[str], where: str) -> tuple[str, ...]:
    """Codes and prefixes as the user wrote them, comma-separated.

    Raises:
        CkptfixError: a text is not the prefix of any code; it names the nearest one.
    """
    codes = [part.strip().upper() for text in texts for part in text.split(",")]
    for code in codes:
        if not code.startswith(EVERY) or not any(known.startswith(code) for known in RULES):
            raise CkptfixError(f"{where}: there is no rule {visible(code)!r}", advice=meant(code))
    return tuple(codes)


def meant(code: str) -> str:
    """A suggestion for a code that no rule has."""
    close = get_close_matches(code.upper(), RULES, n=1, cutoff=0.8)
    return f"did you mean {close[0]}" if close else "see ckptfix rules"
