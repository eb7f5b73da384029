"""All dialects: every file of this package that is not in `_MACHINERY` has a `DIALECT`."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

import ckptfix.checkpoint.dialects
from ckptfix.checkpoint.dialects import unread
from ckptfix.checkpoint.dialects.interface import Dialect, Documents, NameList, Role
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_FILE,
    MetadataFile,
)

_MACHINERY: Final = frozenset(
    {"changes", "fields", "interface", "reading", "registry", "sections", "spelling", "statements"}
)


def _load() -> tuple[Dialect, ...]:
    package = ckptfix.checkpoint.dialects
    names = sorted(module.name for module in iter_modules(package.__path__))
    modules = (import_module(f"{package.__name__}.{n}") for n in names if n not in _MACHINERY)
    return tuple(module.DIALECT for module in modules)


DIALECTS: Final = _load()
"""By the names of their files."""
METADATA_FILES: Final = tuple(
    dict.fromkeys((CONFIG_FILE, *(own.name for d in DIALECTS for own in d.own_files)))
)
"""Every file that some dialect reads."""
READABLE_ALONE: Final = tuple(
    dict.fromkeys((CONFIG_FILE, *(o.name for d in DIALECTS for o in d.own_files if o.is_enough)))
)
"""The files of which at least one must exist."""
NAME_FIELDS: Final = tuple(dict.fromkeys(field for d in DIALECTS for field in d.name_fields))
"""Keys of lists and objects of names, in any dialect."""
ROLES: Final[tuple[Role, ...]] = tuple(role for d in DIALECTS for role in d.roles)
_NAMED: Final = [d.quantizer for d in DIALECTS if d is not unread.DIALECT]
QUANTIZERS: Final = " or ".join((", ".join(_NAMED[:-1]), _NAMED[-1]))
"""For people."""


def dialect_of(documents: Documents) -> Dialect:
    """The dialect of a checkpoint's metadata; the likeliest one if it has none."""
    return max(DIALECTS, key=lambda dialect: dialect.claim(documents))


def parse_metadata(documents: Documents) -> tuple[MetadataFile, ...]:
    """The metadata of each file.

    A field with a type that the quantizer does not write counts as absent and is listed in the
    faults: its effect in a runtime differs by release.
    """
    return dialect_of(documents).read(documents)


def name_lists(documents: Documents) -> Iterable[NameList]:
    """Places where the metadata names modules."""
    return dialect_of(documents).name_lists(documents)
