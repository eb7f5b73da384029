"""Which releases a fact holds for: a row of a table up to the next one, or a specifier."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Protocol, TypeVar

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ckptfix.errors import CkptfixError


class Row(Protocol):
    """What a range of releases does."""

    @property
    def since(self) -> str:
        """The first release read that behaves this way."""


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
    """The same; None for a release that is older than every row."""
    wanted = _version(version)
    found = [row for row in rows if _version(row.since) <= wanted]
    return max(found, key=lambda row: _version(row.since), default=None)


@cache
def covers(versions: str, release: str) -> bool:
    """True if a specifier of our data, as `>=0.17,<0.20`, contains a release.

    Cached: every checkpoint asks the same of the same releases.
    """
    return SpecifierSet(versions).contains(release, prereleases=True)
