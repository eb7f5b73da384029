"""Which rules count: codes and prefixes of codes; the longest match decides."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.rules.registry import RULES
from ckptfix.text import visible

EVERY = "CKF"
"""The prefix of every code."""


class Selection(Struct, frozen=True):
    """Codes and prefixes that are reported, and those that are not."""

    select: tuple[str, ...] = (EVERY,)
    ignore: tuple[str, ...] = ()

    def takes(self, code: str) -> bool:
        """True when the code is reported: the longest prefix decides, and `ignore` wins a tie."""
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
    """A suggestion for a code that no rule has: letters for digits, then the nearest number.

    >>> meant("CKF1O1"), meant("cfk101"), meant("CKF999")
    ('did you mean CKF101', 'did you mean CKF101', 'see ckptfix rules')
    """
    written = code.strip().upper()
    digits = "".join(filter(str.isdecimal, written[3:].translate(_LOOK_ALIKE)))
    if sorted(written[:3]) != sorted(EVERY) or len(digits) < 2:
        return "see ckptfix rules"
    number = int(digits[:3].ljust(3, "0"))
    far = {known: abs(int(known.removeprefix(EVERY)) - number) for known in RULES}
    nearest = min(far, key=lambda known: far[known])
    return f"did you mean {nearest}" if far[nearest] <= _FARTHEST else "see ckptfix rules"


_FARTHEST: Final = 10
"""A number that is farther from that of every rule is not a mistyped one."""
_LOOK_ALIKE: Final = str.maketrans("OQILZSB", "0011258")
"""Letters that are mistyped for digits."""
