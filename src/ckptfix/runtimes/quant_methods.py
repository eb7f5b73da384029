"""Values of `quant_method` that a release does not register, or no longer takes; stops with them.

Reads `<runtime>/quant_methods.toml`, which has the releases that were read.
"""

from functools import cache
from typing import Final

import msgspec
from msgspec import Struct
from packaging.version import Version

from ckptfix.runtimes.common.foreign import NotModelOptError, not_supported, only_online
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import facts_of
from ckptfix.text import visible

_FILE: Final = "quant_methods.toml"


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    since: str
    through: str
    methods: frozenset[str]
    deprecated: frozenset[str] = frozenset()


class _Facts(Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    others: frozenset[str]
    """Methods that the class of another one takes."""
    online: frozenset[str] = frozenset()
    """Methods that quantize while loading, which take no quantized checkpoint."""
    releases: tuple[_Row, ...] = ()
    """Oldest first."""


def require_registered(target: Target, foreign: NotModelOptError) -> None:
    """Refuse a method that no class of the release reads.

    A release between two that were read does what both do.

    Raises:
        StopsError: the release does not know the method, or wants a flag to use it.
    """
    facts, method = _facts(target.runtime), foreign.method
    if facts is None or method in facts.others:
        return
    rows = _around(facts.releases, Version(target.profile_version))
    if not any(method in row.methods for row in rows):
        raise not_supported(foreign.found, method)
    if method in facts.online and all(method in row.methods for row in rows):
        raise only_online(foreign.found, method)
    if all(method in row.deprecated for row in rows):
        flag = "--allow-deprecated-quantization"
        problem = (
            f': "{visible(method)}" is deprecated, and stops it unless it is started with {flag}'
        )
        raise foreign.found.stop(problem, "quant_method")


def _around(rows: tuple[_Row, ...], version: Version) -> tuple[_Row, ...]:
    """The row of a release; otherwise the nearest ones before and after it."""
    before = [row for row in rows if Version(row.since) <= version]
    after = [row for row in rows if version <= Version(row.through)]
    return tuple({id(row): row for row in (*before[-1:], *after[:1])}.values())


@cache
def _facts(runtime: str) -> _Facts | None:
    found = facts_of(runtime).found(_FILE)
    return msgspec.convert(found, _Facts) if found else None
