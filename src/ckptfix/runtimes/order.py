"""Classes that drop `g_idx`, the order of columns, before it is loaded: `<runtime>/order.toml`."""

from functools import cache

from msgspec import Struct, convert

from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.toml_folder import facts_of


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    versions: str
    source: str
    architectures: frozenset[str]


def drops_order(runtime: str, version: str, architecture: str) -> bool:
    """Whether a class of a release does."""
    known = _facts(runtime)
    return (
        known is not None
        and architecture in known.architectures
        and covers(known.versions, version)
    )


@cache
def _facts(runtime: str) -> _File | None:
    found = facts_of(runtime).found("order.toml")
    return convert(found, _File) if found else None
