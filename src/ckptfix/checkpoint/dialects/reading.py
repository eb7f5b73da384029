"""How quantizers themselves match the names in their metadata with modules."""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.dialects.interface import Reading
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement, StatementKind
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


class Listed(Struct, frozen=True):
    """Statements of which most name one module each, in the order of the file."""

    named: Mapping[str, tuple[int, Statement]]
    """Name -> position and statement, the first of equal ones."""
    others: tuple[tuple[int, Statement], ...]
    """Those that may match other names too."""
    matches: Callable[[Statement, str], bool]

    @classmethod
    def of(
        cls,
        metadata: MetadataFile,
        kind: StatementKind,
        matches_: Callable[[Statement, str], bool],
        is_name: Callable[[Statement], bool],
    ) -> "Listed":
        """The statements of one kind that declare something, found once for a file.

        Args:
            metadata: the file.
            kind: of the statements.
            matches_: (statement, module name) -> whether it matches.
            is_name: whether a statement matches the module of its name and no other.
        """
        key = "listed", kind
        if key not in metadata.derived:
            named: dict[str, tuple[int, Statement]] = {}
            others: list[tuple[int, Statement]] = []
            for place in enumerate(metadata.of_kind(kind)):
                if is_name(place[1]):
                    named.setdefault(place[1].name, place)
                else:
                    others.append(place)
            metadata.derived[key] = cls(named, tuple(others), matches_)
        found: Listed = metadata.derived[key]
        return found

    def exact(self, module: str) -> Statement | None:
        """The first that is the name of a module."""
        own = self.named.get(module)
        return own[1] if own else None

    def other(self, module: str) -> Statement | None:
        """The first of the others that matches a module."""
        spend(len(self.others))
        return next((s for _, s in self.others if self.matches(s, module)), None)

    def first(self, module: str) -> Statement | None:
        """The first that matches a module."""
        own = self.named.get(module)
        spend(len(self.others))
        before = (s for at, s in self.others if own is None or at < own[0])
        found = next((s for s in before if self.matches(s, module)), None)
        return found or (own[1] if own else None)


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
