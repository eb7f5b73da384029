"""Files with one record for each architecture of a release: `<runtime>/<folder>/<version>.json`."""

from functools import cache

import msgspec
from packaging.version import Version

from ckptfix.runtimes.facts import FACTS


class ReleaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One release."""

    runtime: str
    version: str
    transformers: str
    """The release of the library whose config classes were used."""
    architectures: dict[str, msgspec.Raw]
    """Read where an architecture is asked for."""


@cache
def releases_in(runtime: str, folder: str) -> tuple[str, ...]:
    """The releases with a file there, oldest first."""
    path = FACTS / runtime / folder
    names = [file.name for file in path.iterdir()] if path.is_dir() else []
    known = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return tuple(sorted(known, key=Version))


@cache
def release_file(runtime: str, folder: str, version: str) -> ReleaseFile | None:
    """The file of a release; None if nothing was learned of it."""
    path = FACTS / runtime / folder / f"{version}.json"
    return msgspec.json.decode(path.read_bytes(), type=ReleaseFile) if path.is_file() else None
