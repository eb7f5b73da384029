"""Any URL that fsspec opens as a source: object stores, web servers, archives, memory.

Nothing is cached: a URL has no commit that would show whether it has changed.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import fsspec
from msgspec import Struct

from ckptfix.checkpoint.source import require_json_size
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.remote.url_chain import resolved_chain
from ckptfix.text import visible

_INSTALL: Final = {
    "s3": "ckptfix[s3]",
    "s3a": "ckptfix[s3]",
    "gs": "ckptfix[gs]",
    "gcs": "ckptfix[gs]",
    "http": "fsspec[http]",
    "https": "fsspec[http]",
}
"""Scheme -> what to install if fsspec has no driver for it."""

Answer = TypeVar("Answer")


class UrlSource(Struct, frozen=True, dict=True):
    """The files directly under a URL."""

    where: str
    file_system: Any
    """fsspec's; it has no types."""
    root: str

    @classmethod
    def open(cls, url: str) -> "UrlSource":
        """The source for a URL that a user named.

        Raises:
            CkptfixError: no driver for it, nothing found, or it would read local files.
        """
        shown = visible(url)
        scheme = urlsplit(url).scheme
        try:
            file_system, root = fsspec.core.url_to_fs(resolved_chain(url))
        except CkptfixError:
            raise
        except ImportError as error:
            package = _INSTALL.get(scheme)
            raise CkptfixError(
                f"{shown}: {visible(str(error))}",
                advice=f"pip install '{package}'" if package else "install that package",
            ) from error
        except ValueError as error:
            if scheme in fsspec.available_protocols():
                raise _failed(shown, error) from error
            raise CkptfixError(
                f"{shown}: fsspec has no driver for {visible(scheme)}://",
                advice="use a directory, ORG/NAME, or a URL such as https://, s3:// or gs://",
            ) from error
        except Exception as error:
            raise _failed(shown, error) from error
        source = cls(shown, file_system, root.rstrip("/"))
        if not source.names():
            raise _failed(shown, FileNotFoundError())
        return source

    @cached_property
    def _sizes(self) -> dict[str, int]:
        rows = _ask(lambda: self.file_system.ls(self.root, detail=True), self.where)
        return {
            name: int(row["size"] or 0)
            for row in rows
            if row["type"] == "file" and _is_name(name := str(row["name"]).rpartition("/")[2])
        }

    def names(self) -> tuple[str, ...]:
        """Names of the files directly under the URL, sorted."""
        return tuple(sorted(self._sizes))

    def below(self) -> Iterator[str]:
        """Nothing: folders are not listed, and no runtime serves a URL."""
        return iter(())

    def has(self, name: str) -> bool:
        """True if there is a file with this name."""
        return name in self._sizes

    def size(self, name: str) -> int:
        """Size of a file in bytes, as it was listed."""
        try:
            return self._sizes[name]
        except KeyError:
            raise CkptfixError("no such file", place=Place(visible(name))) from None

    def read(self, name: str) -> bytes:
        """The whole of a JSON file."""
        require_json_size(visible(name), self.size(name))
        return self._bytes(name, 0, self.size(name))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Up to `length` bytes of a file from byte `start`."""
        return self._bytes(name, start, min(start + length, self.size(name)))

    def _bytes(self, name: str, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        path = f"{self.root}/{name}"
        place = f"{self.where.rstrip('/')}/{visible(name)}"
        data: bytes = _ask(lambda: self.file_system.cat_file(path, start=start, end=end), place)
        if len(data) != end - start:
            raise CkptfixError(
                f"received {len(data)} bytes instead of {end - start}: the file changed while "
                "being read",
                place=Place(place),
                advice="run again",
            )
        return data


def _is_name(text: str) -> bool:
    return text.isprintable() and text not in ("", ".", "..")


def _ask(call: Callable[[], Answer], where: str) -> Answer:
    try:
        return call()
    except Exception as error:
        raise _failed(where, error) from error


def _failed(where: str, error: Exception) -> CkptfixError:
    """One sentence, and what to do; each driver has its own exceptions."""
    match error:
        case FileNotFoundError():
            return CkptfixError(f"{where}: nothing found", advice="check the URL")
        case PermissionError():
            why = "access denied; configure credentials the way this fsspec driver expects"
            return CkptfixError(f"{where}: {why}")
        case TimeoutError():
            return CkptfixError(f"{where}: no answer in time", advice="run again")
        case OSError(strerror=str(why)) if why:
            return CkptfixError(f"{where}: {visible(why)}", advice=_CONNECTION)
        case _:
            why = visible(" ".join(str(error).split())) or type(error).__name__
            return CkptfixError(f"{where}: {why}", advice=_CONNECTION)


_CONNECTION: Final = "check the URL, the network and the credentials"
