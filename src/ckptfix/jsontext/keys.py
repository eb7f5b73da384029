"""Positions of the keys of one JSON object, for texts with a million keys.

`JsonText.members` knows every value of a document; a rename of tensors only needs the keys of one
object, and the C scanner of the standard library skips the values between them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.jsontext.rename import encode_like
from ckptfix.jsontext.spans import TextEdit

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


class Key(Struct, frozen=True):
    """One key of an object, as a span of characters with its quotes, and where its value starts."""

    name: str
    start: int
    end: int
    value_start: int


def keys_of(text: str, brace: int) -> Iterator[Key]:
    """The keys of the object whose `{` is at `brace`; the text is valid JSON."""
    position = _skip(text, brace + 1)
    while text[position] == '"':
        name, end = _decode(text, position)
        value_start = _skip(text, _skip(text, end) + 1)
        yield Key(name, position, end, value_start)
        _, position = _decode(text, value_start)
        position = _skip(text, position)
        if text[position] == ",":
            position = _skip(text, position + 1)


def key_edits(text: str, brace: int, renames: Mapping[str, str]) -> tuple[TextEdit, ...]:
    """The edits that rename keys of the object at `brace`."""
    return tuple(
        TextEdit(key.start, key.end, encode_like(text[key.start : key.end], renames[key.name]))
        for key in keys_of(text, brace)
        if key.name in renames
    )


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
