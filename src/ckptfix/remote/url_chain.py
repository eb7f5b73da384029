"""What a chain of fsspec URLs finally reads: of local files, only archives.

`zip://inner::s3://bucket/a.zip` is a chain. Local directories are read by `DirectorySource` alone,
which refuses pipes, devices and links that lead out; fsspec's local driver refuses none of them.
"""

from pathlib import Path
from typing import Final

from fsspec import get_filesystem_class
from fsspec.implementations.local import LocalFileSystem

from ckptfix.errors import CkptfixError
from ckptfix.remote.local_url import LOCAL_SCHEMES, local_path
from ckptfix.text import visible

_ARCHIVES: Final = frozenset({"zip", "tar", "libarchive"})
_NAME_OTHER_FILES: Final = frozenset(
    {"reference", "generic", "git", "asynclocal", "async_wrapper", "asyncwrapper"}
)
"""Drivers that get the files to open, even local ones, from what they read or from their path."""
_LINK: Final = "::"


def resolved_chain(url: str) -> str:
    """The URL to open, with the path of a local archive made absolute and decoded.

    Raises:
        CkptfixError: it would read local files through fsspec.
        ImportError: a driver is not installed.
        ValueError: a driver is not known.
    """
    *outer, last = links = url.split(_LINK)
    schemes = [_scheme(link) for link in links]
    if any(scheme in _NAME_OTHER_FILES for scheme in schemes):
        raise _reads_local_files(url)
    local = [scheme in LOCAL_SCHEMES or _is_local(scheme) for scheme in schemes]
    if not any(local):
        if schemes[-1] in _ARCHIVES:  # without a file, fsspec takes the working directory for it
            raise CkptfixError(
                f"{visible(url)}: does not name an archive",
                advice=f"write {schemes[-1]}://FOLDER::URL_OF_THE_ARCHIVE",
            )
        return url
    if any(local[:-1]) or not outer or not _ARCHIVES.issuperset(schemes[:-1]):
        raise _reads_local_files(url)
    return _LINK.join((*outer, f"file://{_archive(url, last)}"))


def _scheme(link: str) -> str:
    """The scheme of a link as fsspec reads it; `file` for what has none."""
    scheme, separator, _ = link.partition("://")
    if separator:
        return scheme
    return link if link.isalpha() and link.islower() else "file"


def _is_local(scheme: str) -> bool:
    return issubclass(get_filesystem_class(scheme), LocalFileSystem)


def _archive(url: str, link: str) -> Path:
    """The absolute path of a local archive: a regular file, because reading others may block."""
    path = Path(local_path(link) or link).absolute()
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file or _LINK in str(path):
        raise CkptfixError(f"{visible(url)}: {visible(str(path))} is not a regular file")
    return path


def _reads_local_files(url: str) -> CkptfixError:
    return CkptfixError(f"{visible(url)}: reads local files", advice="pass the directory itself")
