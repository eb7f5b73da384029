"""The kind of a file that should be safetensors, or JSON, recognized by its first bytes.

A safetensors file begins with the length of its header, and that number can have the same bytes
as any magic: 896 is `80 03`, the beginning of a pickle. So safetensors is recognized first, by the
length together with the `{` after it, and only other files are looked up here.
"""

from typing import Final

from msgspec import Struct

MAX_HEADER_BYTES: Final = 100_000_000
"""safetensors 0.8.0, `MAX_HEADER_SIZE`."""
SHORTEST_HEADER: Final = 2
"""Bytes of `{}`."""
START_BYTES: Final = 24
"""Bytes read to recognize a file."""

_PICKLE_ADVICE: Final = "ckptfix reads safetensors only and never unpickles"
_SAFETENSORS_ONLY: Final = "ckptfix reads safetensors only"
_AGAIN: Final = "download the file again"
_LOG_IN: Final = f"{_AGAIN}; the server may require you to log in"

_MAGICS: Final = (
    (b"version https://git-lfs", "a Git LFS pointer to one", "run git lfs pull"),
    (b"PK\x03\x04", "a pickle (PyTorch zip archive)", _PICKLE_ADVICE),
    (b"GGUF", "a GGUF file", _SAFETENSORS_ONLY),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _SAFETENSORS_ONLY),
    (b"\x1f\x8b\x08", "a gzip archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it"),
)
_PAGES: Final = (
    (b"<!doctype html", "an HTML page, probably a server's error message"),
    (b"<html", "an HTML page, probably a server's error message"),
    (b"<?xml", "an XML document, probably a server's error message"),
    (b"<error", "an XML document, probably a server's error message"),
)
_PICKLES: Final = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""PROTO and the number of a protocol; torch writes 2. Older ones have no magic."""
_LOWEST_OPCODE: Final = b"("
"""Pickle opcodes: distinguish a pickle from a header length in a file shorter than 8 bytes."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_TEXT: Final = frozenset(b"\t\n\r" + bytes(range(0x20, 0x7F)))
"""Printable ASCII: a plain-text error message of a server."""


class OtherKind(Struct, frozen=True):
    """The kind of a file that is not safetensors."""

    what: str
    """The name with its article: `a GGUF file`."""
    advice: str


def header_length(start: bytes) -> int | None:
    """The header length in bytes of a safetensors file, even a truncated one; None for other files.

    Args:
        start: its first bytes, `START_BYTES` or the whole of it.
    """
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or not SHORTEST_HEADER <= length <= MAX_HEADER_BYTES:
        return None
    return length if start[8:9] in (b"{", b"") else None


def other_kind(start: bytes) -> OtherKind | None:
    """The kind of a file that is not safetensors; None if its first bytes do not show it.

    Args:
        start: its first bytes, `START_BYTES` or the whole of it.
    """
    found = other_than_text(start)
    if found is None and _TEXT.issuperset(start):
        return OtherKind("plain text, probably a server's error message", _LOG_IN)
    return found


def other_than_text(start: bytes) -> OtherKind | None:
    """The same, also for a file that should be JSON: None for any text that nobody else writes.

    Args:
        start: its first bytes, `START_BYTES` or the whole of it.
    """
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
    for magic, what, advice in _MAGICS:
        if start.startswith(magic):
            return OtherKind(what, advice)
    for beginning, what in _PAGES:
        if text.startswith(beginning):
            return OtherKind(what, _LOG_IN)
    return _by_all_bytes(start)


def _by_all_bytes(start: bytes) -> OtherKind | None:
    if not start:
        return OtherKind("an empty file", _AGAIN)
    if start[:2] in _PICKLES and start[2:3] >= _LOWEST_OPCODE:
        return OtherKind("a pickle", _PICKLE_ADVICE)
    if len(start) >= 8 and not any(start):
        return OtherKind("zero bytes, probably left by an interrupted download", _AGAIN)
    return None
