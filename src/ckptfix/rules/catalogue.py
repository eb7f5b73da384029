"""Rules by code, for users."""

from ckptfix.errors import CkptfixError
from ckptfix.rules.finding import Rule
from ckptfix.rules.registry import RULES
from ckptfix.rules.selection import meant
from ckptfix.text import visible


def find_rule(code: str) -> Rule:
    """The rule of a code, in upper or lower case.

    Raises:
        CkptfixError: there is none; the message has the nearest one.
    """
    rule = RULES.get(code.strip().upper())
    if rule is None:
        raise CkptfixError(f"there is no rule {visible(code)!r}", advice=meant(code))
    return rule
