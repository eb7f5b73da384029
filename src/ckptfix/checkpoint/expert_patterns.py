"""Whether a pattern in metadata may match some experts of a bank and not others.

Quantizers and runtimes read the same text as a name, a part of one, a shell pattern or a regular
expression. A text is harmless only if no expert number decides in any of these readings.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS

_MARKS: Final = re.compile(r"\A(?:re:|[-+]:)*")
"""Before the expression: of compressed-tensors, and of GPTQModel's `dynamic`."""
_PARTS: Final = re.compile(
    r"(?P<many>(?:\.|\\d)[*+]|\*)"
    r"|(?P<between>[()|^$+])"
    r"|\\(?P<literal>[._-])"
    r"|(?P<wild>\.|\\d)"
    r"|(?P<plain>[\w\-:/ ])",
    re.ASCII,
)
_WILD: Final = "."
"""Matches any character: a shell pattern has a dot there."""
_MOST_DIGITS: Final = 4
"""Of the number of an expert."""


def may_tell_experts_apart(pattern: str) -> bool:
    """True unless it is certain that no expert number decides whether the pattern matches.

    A digit or a wildcard decides nothing where the text around it cannot be next to a number of an
    expert. A `*` matches any number.
    """
    pieces = _pieces(_MARKS.sub("", pattern, count=1))
    return pieces is None or any(map(_may_touch_number, pieces))


def _pieces(pattern: str) -> Sequence[str] | None:
    """The parts between wildcards for any text; None for a pattern that is not understood."""
    pieces, at = [""], 0
    after_many = False
    while at < len(pattern):
        part = _PARTS.match(pattern, at)
        if part is None:
            return None
        at = part.end()
        if part.lastgroup == "many" and after_many:
            return None  # together they may need two digits
        if part.lastgroup in ("many", "between"):
            pieces.append("")
            after_many = after_many or part.lastgroup == "many"
        else:
            pieces[-1] += _WILD if part.lastgroup == "wild" else part[part.lastgroup or 0]
            after_many = False
    return pieces


def _may_touch_number(piece: str) -> bool:
    """Whether some character of it can match a digit of an expert's number."""
    return any(
        _may_be_digit(char) and any(_fits(piece, at, before) for before in range(_MOST_DIGITS))
        for at, char in enumerate(piece)
    )


def _fits(piece: str, at: int, before: int) -> bool:
    """Whether the character at a position can be the digit after this many others."""
    left = zip(reversed(piece[:at]), _leftwards(before), strict=False)
    if not all(char in (_WILD, wanted) or _is_digit(char, wanted) for char, wanted in left):
        return False
    rest = piece[at + 1 :]
    after = rest[next((n for n, char in enumerate(rest) if not char.isdigit()), len(rest)) :]
    return not after or after[0] == _WILD


def _leftwards(digits: int) -> Iterator[str]:
    """What is in front of a digit in the name of an expert, from right to left."""
    yield from "0" * digits
    yield from reversed(EXPERTS)


def _is_digit(char: str, wanted: str) -> bool:
    return wanted == "0" and char.isdigit()


def _may_be_digit(char: str) -> bool:
    return char == _WILD or char.isdigit()
