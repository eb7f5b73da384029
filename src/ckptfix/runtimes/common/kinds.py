"""Kinds of JSON values, as files about config classes and model classes name them."""

from typing import Any, Final

ABSENT: Final = object()
"""In place of the value of a key that is not there."""
_TYPES: Final = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    list: "list",
    dict: "object",
}
_MAY_BE_EMPTY: Final = (str, list, dict)
KINDS: Final = (
    *("missing", "null", *_TYPES.values()),
    *("empty string", "empty list", "empty object"),
)


def kind_of(value: Any) -> str:  # noqa: ANN401 - any JSON
    """The kind of a value or of `ABSENT`: one of `KINDS`."""
    if value is ABSENT:
        return "missing"
    kind = _TYPES.get(type(value), "null")
    return kind if value or type(value) not in _MAY_BE_EMPTY else f"empty {kind}"
