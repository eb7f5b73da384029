"""Headers of shard files with new tensor names. Pure: bytes in, bytes out.

A safetensors header is 8 bytes of length N, N bytes of JSON that may end in spaces, then the data
(https://huggingface.co/docs/safetensors). Here the head of a file is all of it up to the data.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from ckptfix.checkpoint.file_kind import MAX_HEADER_BYTES
from ckptfix.errors import CkptfixError
from ckptfix.jsontext.keys import key_edits, keys_of
from ckptfix.jsontext.spans import apply_edits
from ckptfix.place import Place
from ckptfix.text import visible

GROWTH: Final = 4096
"""A header that must grow does so in multiples of a file system block, so that the data after it
keeps its offset within a block and can be shared instead of copied, if the file system can."""


class ShardChange(Struct, frozen=True):
    """One shard file whose tensors get new names."""

    file: str
    before: bytes
    """Its head: length and header, padding included."""
    after: bytes
    renames: Mapping[str, str]

    @property
    def fits(self) -> bool:
        """True when the tensor data does not move."""
        return len(self.before) == len(self.after)


def rename_in_head(file: str, head: bytes, renames: Mapping[str, str]) -> ShardChange:
    """The head with new names and everything else unchanged: order, values, JSON formatting.

    Raises:
        CkptfixError: a name occurs twice, or the header would be larger than readers accept.
    """
    text = head[8:].decode("utf-8")
    names = [key.name for key in keys_of(text, text.index("{"))]
    if len(set(names)) != len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise CkptfixError(
            f"the header names {visible(twice)} twice, so none of its tensors is renamed",
            place=Place(file),
            advice="download the file again",
        )
    new_text = apply_edits(text, key_edits(text, text.index("{"), renames))
    _require_same_but_names(file, text, new_text, renames)
    data = new_text.rstrip(" ").encode("utf-8")
    length = len(head) - 8
    if len(data) > length:
        length += -(-(len(data) - length) // GROWTH) * GROWTH
    if length > MAX_HEADER_BYTES:
        raise CkptfixError(
            f"the header would be {length:,} bytes long; the limit is {MAX_HEADER_BYTES:,}",
            place=Place(file),
            advice="use shorter names",
        )
    return ShardChange(file, head, length.to_bytes(8, "little") + data.ljust(length), renames)


def _require_same_but_names(file: str, old: str, new: str, renames: Mapping[str, str]) -> None:
    """Parse the new text and compare it with the old one."""
    before: dict[str, Any] = json.loads(old)
    expected = [(renames.get(name, name), value) for name, value in before.items()]
    if list(json.loads(new).items()) != expected:
        raise CkptfixError("the renamed header does not read as intended", place=Place(file))
