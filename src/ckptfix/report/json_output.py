"""msgspec objects as JSON text that only holds ASCII."""

import json

import msgspec


def compact(made: msgspec.Struct) -> str:
    """One line."""
    # json, not msgspec: names may hold lone surrogates, which only json can write.
    return json.dumps(made, default=msgspec.structs.asdict)


def indented(made: msgspec.Struct) -> str:
    """Two spaces a level."""
    try:
        return msgspec.json.format(compact(made), indent=2)
    except msgspec.DecodeError:  # a lone surrogate; json is a hundred times slower at indenting
        return json.dumps(made, default=msgspec.structs.asdict, indent=2)
