"""JSON text that only holds printable ASCII, and no command of a CI runner."""

import json

import msgspec

from ckptfix.text import inert


def compact(made: msgspec.Struct) -> str:
    """One line."""
    # json, not msgspec: names may hold lone surrogates, which only json can write.
    return _safe(json.dumps(made, default=msgspec.structs.asdict))


def indented(made: object) -> str:
    """Two spaces a level.

    Args:
        made: a msgspec object, or lists and dicts with string keys.
    """
    text = json.dumps(made, default=msgspec.structs.asdict)
    try:
        return _safe(msgspec.json.format(text, indent=2))
    except msgspec.DecodeError:  # a lone surrogate; json is a hundred times slower at indenting
        return _safe(json.dumps(made, default=msgspec.structs.asdict, indent=2))


def _safe(text: str) -> str:
    """The same values: escaped characters only occur inside strings."""
    # json leaves DEL as it is, and a terminal would act on it.
    return inert(text.replace("\x7f", _escape("\x7f")), _escape)


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}"
