"""Learned classes that were seen to load checkpoints of other quantizers than ModelOpt."""

from functools import cache
from typing import Final

import msgspec

from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.toml_folder import facts_of

_FILE: Final = "other_quantizers.toml"


class _Classes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    method: str
    formats: tuple[str, ...]
    architectures: tuple[str, ...]


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    versions: str
    source: str
    classes: tuple[_Classes, ...]


def formats_seen(runtime: str, version: str, architecture: str, method: str) -> frozenset[str]:
    """The stored formats that a class was seen to load, with metadata of this quant_method."""
    facts = _facts(runtime)
    if facts is None or not covers(facts.versions, version):
        return frozenset()
    return frozenset(
        name
        for classes in facts.classes
        if classes.method == method and architecture in classes.architectures
        for name in classes.formats
    )


@cache
def _facts(runtime: str) -> _Facts | None:
    found = facts_of(runtime).found(_FILE)
    return msgspec.convert(found, _Facts) if found else None
