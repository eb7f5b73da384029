"""How quantizers themselves match the names in their metadata with modules."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final

from ckptfix.checkpoint.dialects.interface import Reading
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.search.effort import spend
from ckptfix.untrusted_regex import UntrustedRegex

REGEX_MARK: Final = "re:"


@lru_cache(maxsize=4096)
def compiled(expression: str) -> UntrustedRegex | None:
    """The compiled expression; None if it is invalid."""
    try:
        return UntrustedRegex(expression)
    except re.error:
        return None


def matches(expression: str, module: str) -> bool:
    """As `re.match`: anchored at the start only."""
    regex = compiled(expression)
    return regex is not None and regex.match(module) is not None


def is_found(expression: str, module: str) -> bool:
    """As `re.search`."""
    regex = compiled(expression)
    return regex is not None and regex.search(module) is not None


def fits_glob(pattern: str, module: str) -> bool:
    """As `fnmatch.fnmatchcase`."""
    return matches(translate(pattern), module)


def in_whole_parts(name: str, module: str) -> bool:
    """True if the dotted parts of a name occur consecutively in the module's."""
    return f".{name}." in f".{module}."


def counted(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Statements to be compared with a name one by one."""
    listed = tuple(statements)
    spend(len(listed))
    return listed


def _is_name(_statement: Statement) -> bool:
    return False


def skip_list(
    fits: Callable[[str, str], bool], is_expression: Callable[[Statement], bool] = _is_name
) -> Reading:
    """How a dialect reads its names where they are one list of what is left unquantized.

    Args:
        fits: (name in the list, module name) -> whether it leaves the module out.
        is_expression: as in `Reading`.
    """

    def matches_(statement: Statement, module: str) -> bool:
        return fits(statement.name, module)

    def decides(metadata: MetadataFile, module: str) -> MetadataFile | None:
        skipped = counted(metadata.of_kind("exclude"))
        return None if any(matches_(s, module) for s in skipped) else metadata

    return Reading(decides, matches_, is_expression)


def positive(value: object) -> int | None:
    """A whole number above zero; -1 stands for no groups in most quantizers."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def flag(value: object) -> bool | None:
    """A boolean; None for anything else."""
    return value if isinstance(value, bool) else None
