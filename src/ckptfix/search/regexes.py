"""Text that every match of a simple regular expression must contain."""

import re
from typing import Final

_CLASS: Final = re.compile(r"\[\^?(?P<inside>(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_.])+)\]")
_ATOM: Final = re.compile(r"[A-Za-z0-9_:,/@= -]|\\[-./]|\\[dw]|\.|" + _CLASS.pattern)
_RANGE: Final = re.compile(r"(.)-(.)")
_REPEATED: Final = re.compile(r"[*+?]\??")


def required_pieces(expression: str) -> list[str] | None:
    r"""Pieces that every match contains, in order; None if that is not obvious.

    It is for an expression without groups, alternatives and counts, which is always valid.
    Nearly all patterns over names are plain.

    >>> required_pieces(r".*layers\.1[0-9]?\..*_proj+$")
    ['layers.1', '.', '_proj']
    >>> required_pieces("q_proj|k_proj")
    """
    pieces, at = [""], 0
    while at < len(expression):
        if expression[at] in "^$":
            pieces.append("")
            at += 1
            continue
        atom = _ATOM.match(expression, at)
        if atom is None or not _in_order(atom["inside"] or ""):
            return None
        at = atom.end()
        repeated = _REPEATED.match(expression, at)
        if repeated is not None:
            at = repeated.end()
            if expression[at : at + 1] in ("*", "+", "?", "{"):
                return None
        _add(pieces, atom[0], repeated[0] if repeated else "")
    return [piece for piece in pieces if piece]


def _in_order(inside: str) -> bool:
    """True if no range of a character class runs backwards."""
    return all(first <= last for first, last in _RANGE.findall(inside))


def _add(pieces: list[str], atom: str, repeated: str) -> None:
    """Append a literal character to the last piece; anything else begins a new piece."""
    stands_for_itself = atom not in (".", "\\d", "\\w") and not atom.startswith("[")
    if stands_for_itself and not repeated.startswith(("*", "?")):
        pieces[-1] += atom[-1]
    if repeated or not stands_for_itself:
        pieces.append("")
