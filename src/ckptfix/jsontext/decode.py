"""Fast JSON decoding (msgspec), used only when a duplicate key is impossible."""

from itertools import chain
from typing import Any

import msgspec


def decode_plain(data: bytes) -> object | None:
    """The value; None if only the slower reader can decode it or report what is wrong.

    The decoder keeps the last of two equal keys. Every key is followed by a colon, so a text with
    as many colons as the value has keys has no two equal keys, and no colon in a string.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if number_of_keys(value) == data.count(b":") else None


def number_of_keys(value: object) -> int:
    """Keys of all objects in a value."""
    counted = 0
    level: list[Any] = [value]
    while level:
        objects = [item for item in level if item.__class__ is dict]
        lists = [item for item in level if item.__class__ is list]
        counted += sum(map(len, objects))
        below = chain.from_iterable(chain(map(dict.values, objects), lists))
        level = [item for item in below if item.__class__ is dict or item.__class__ is list]
    return counted
