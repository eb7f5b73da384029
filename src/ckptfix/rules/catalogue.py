"""The rules as a reader looks them up: by family and by code."""

from typing import Final

from ckptfix.errors import CkptfixError
from ckptfix.rules.finding import Rule
from ckptfix.rules.registry import RULES
from ckptfix.rules.selection import meant
from ckptfix.text import visible

FAMILY_TITLES: Final = {
    "CKF1": "names",
    "CKF2": "coverage",
    "CKF3": "formats and scales",
    "CKF4": "KV cache",
    "CKF5": "files and index",
    "CKF6": "draft layers",
    "CKF7": "runtimes",
    "CKF8": "numbers",
}
"""The beginning of a code -> what its rules are about."""


def family_of(rule: Rule) -> str:
    """What the rule is about."""
    return FAMILY_TITLES[rule.code[:4]]


def find_rule(code: str) -> Rule:
    """The rule of a code, in upper or lower case.

    Raises:
        CkptfixError: there is none; with the nearest one.
    """
    rule = RULES.get(code.strip().upper())
    if rule is None:
        raise CkptfixError(f"no rule is called {visible(code)!r}", advice=meant(code))
    return rule
