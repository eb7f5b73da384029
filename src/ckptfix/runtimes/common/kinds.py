"""Kinds of JSON values, as files about config classes and model classes name them."""

from typing import Any, Final

ABSENT: Final = object()
"""In place of the value of a key that is not there."""
_TYPES: Final = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "string"),
    (list, "list"),
    (dict, "object"),
)
KINDS: Final = (
    *("missing", "null", *(name for _, name in _TYPES)),
    *("empty string", "empty list", "empty object"),
)


def kind_of(value: Any) -> str:  # noqa: ANN401 - any JSON
    """The kind of a value or of `ABSENT`: one of `KINDS`."""
    if value is ABSENT:
        return "missing"
    kind = next((kind for type_, kind in _TYPES if isinstance(value, type_)), "null")
    return f"empty {kind}" if value in ("", [], {}) else kind
