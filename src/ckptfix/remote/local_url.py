"""`file://` URLs: a different way to write a path; they are opened like paths."""

from typing import Final
from urllib.parse import unquote

from ckptfix.errors import CkptfixError
from ckptfix.text import visible

LOCAL_SCHEMES: Final = frozenset({"file", "local"})
"""`local` is fsspec's second name for it."""
_THIS_MACHINE: Final = ("", "localhost")


def local_path(text: str) -> str | None:
    """The path that a `file://` URL names (RFC 8089); None for any other text.

    Raises:
        CkptfixError: it names another machine, or a path that is not absolute.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in LOCAL_SCHEMES:
        return None
    host, slash, path = rest.partition("/")
    if not slash or host.lower() not in _THIS_MACHINE:
        raise CkptfixError(
            f"{visible(text)}: not an absolute path on this machine",
            advice="write file:///absolute/path, or the path itself",
        )
    return slash + unquote(path, errors="surrogateescape")
