"""Which releases a fact holds for: a row of a table up to the next one, or a specifier."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from operator import ge, le, lt
from typing import Any, Final, Protocol, TypeVar

from packaging.version import InvalidVersion, Version

from ckptfix.errors import CkptfixError


class Row(Protocol):
    """What a range of releases does."""

    @property
    def since(self) -> str:
        """The first release read that behaves this way."""


_CLAUSE: Final = re.compile(r"(>=|<=|<)([0-9][0-9.]*(?:\.post[0-9]+)?)")
_HOLDS: Final[Mapping[str, Callable[[Version, Version], bool]]] = {">=": ge, "<=": le, "<": lt}

_version = lru_cache(maxsize=256)(Version)
"""Every checkpoint uses the same few releases."""

RowT = TypeVar("RowT", bound=Row)


def row_for(runtime: str, version: str, rows: Sequence[RowT]) -> RowT:
    """The newest row at or below a release; one that changed nothing needs no row.

    Raises:
        CkptfixError: the release is older than every row.
    """
    row = known_row(version, rows)
    if row is None:
        raise CkptfixError(
            f"{runtime} {version} is unsupported: its name lookup has not been modelled"
        )
    return row


def known_row(version: str, rows: Sequence[RowT]) -> RowT | None:
    """The same; None for a release that is older than every row.

    Looked for once: every checkpoint asks for the same releases.
    """
    key = id(rows), version  # the table is kept, so that no other gets its id
    if key not in _known_rows:
        wanted = _version(version)
        found = [row for row in rows if _version(row.since) <= wanted]
        newest = max(found, key=lambda row: _version(row.since), default=None)
        _known_rows[key] = rows, newest
    row: RowT | None = _known_rows[key][1]
    return row


_known_rows: Final[dict[tuple[int, str], tuple[Any, Any]]] = {}


@cache
def covers(versions: str, release: str) -> bool:
    """True if a specifier of our data, as `>=0.17,<0.20`, contains a release.

    Cached: every checkpoint asks the same of the same releases.

    Raises:
        ValueError: as `bounds`.
    """
    wanted = _version(release)
    return all(holds(wanted, bound) for holds, bound in bounds(versions))


@cache
def bounds(versions: str) -> tuple[tuple[Callable[[Version, Version], bool], Version], ...]:
    """What a specifier compares a release with: nothing where it is empty.

    Our data says `>=`, `<=` and `<` of final releases. For these, this is what packaging.specifiers
    says, whose import takes twice as long as that of all our data.

    Raises:
        ValueError: it says anything else.
    """
    found = []
    for clause in filter(None, versions.split(",")):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise InvalidVersion(f"{clause!r} is not a version after >=, <= or <")
        found.append((_HOLDS[match[1]], _version(match[2])))
    return tuple(found)
