"""Where the source of a release lies: a wheel, or the directory it was unpacked to."""

import hashlib
import re
import zipfile
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from ckptfix.errors import CkptfixError


@dataclass(frozen=True)
class SourceTree:
    """The files of one release, and the wheel that they came in."""

    wheel: str
    """File name of the wheel."""
    sha256: str
    """Of the wheel."""
    root: Traversable

    @property
    def runtime(self) -> str:
        """Name of the project, which is also that of its package."""
        return str(parse_wheel_filename(self.wheel)[0])

    @property
    def version(self) -> str:
        """The release."""
        return str(parse_wheel_filename(self.wheel)[1])

    def file(self, path: str) -> Traversable | None:
        """The file at a path with slashes; None when there is none."""
        found = self.root.joinpath(path)
        return found if found.is_file() else None

    def names(self, folder: str) -> tuple[str, ...]:
        """Names of the files in a folder, sorted."""
        found = self.root.joinpath(folder)
        return tuple(sorted(p.name for p in found.iterdir())) if found.is_dir() else ()


def open_source_tree(path: Path) -> SourceTree:
    """The source of a release.

    Args:
        path: a wheel, or a directory that one was unpacked to. What `sha256sum WHEEL` printed has
            to lie next to a directory, in `DIRECTORY.sha256`: a profile names the wheel it was
            read from.

    Raises:
        CkptfixError: there is no such file, it is not a wheel, or the wheel is not known.
    """
    if path.is_dir():
        wheel, sha256 = _recorded_wheel(path)
        root: Traversable = path
    else:
        wheel, sha256 = path.name, _sha256(path)
        try:
            root = zipfile.Path(path)
        except zipfile.BadZipFile:
            raise CkptfixError(f"{path}: not a wheel", advice="name a whole .whl file") from None
    try:
        parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        raise CkptfixError(
            f"{path}: {wheel} is not the file name of a wheel",
            advice="keep the name that pip download gave it, it shows which release this is",
        ) from None
    return SourceTree(wheel, sha256, root)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CkptfixError(f"{path}: {error.strerror}") from error


def _recorded_wheel(directory: Path) -> tuple[str, str]:
    record = directory.with_name(directory.name + ".sha256")
    advice = f"write the output of `sha256sum WHEEL` to {record}, or name the wheel itself"
    try:
        text = record.read_text(encoding="utf-8")
    except OSError:
        raise CkptfixError(
            f"{directory}: nothing shows which wheel this was", advice=advice
        ) from None
    line = re.fullmatch(r"([0-9a-f]{64}) [ *](?:.*/)?([^/]+\.whl)", text.strip())
    if line is None:
        raise CkptfixError(f"{record}: not a line of sha256sum", advice=advice)
    return line[2], line[1]
