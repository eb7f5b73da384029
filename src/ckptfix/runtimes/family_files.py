"""The files `runtimes/families/*.toml`, as they are written."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final

import msgspec

from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.runtimes.family_spec import FamilyFile
from ckptfix.runtimes.toml_folder import TomlFolder

_FILES: Final = TomlFolder("families")


def parse_file(text: str, origin: str) -> FamilyFile:
    """A family file from its text.

    Raises:
        CkptfixError: the text is not TOML or not a family file.
    """
    return _converted(partial(tomllib.loads, text), origin)


def _converted(read: Callable[[], dict[str, Any]], origin: str) -> FamilyFile:
    try:
        return msgspec.convert(read(), FamilyFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CkptfixError(f"not a family file: {error}", place=Place(origin)) from error


@cache
def family_file(name: str) -> FamilyFile:
    """A file of this package, by its name."""
    return _converted(partial(_FILES.parsed, name), name)


def files_naming(architecture: str) -> tuple[str, ...]:
    """The files that name an architecture."""
    return _FILES.holding(f'"{architecture}"')


def builtin_family_files() -> Mapping[str, FamilyFile]:
    """Every file, by its name, in the order of the names."""
    return {name: family_file(name) for name in _FILES.texts}
