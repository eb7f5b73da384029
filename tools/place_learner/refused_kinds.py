"""Kinds of values that a config class refuses: tried on the class, one value at a time."""

from collections.abc import Mapping
from typing import Any, Final

KINDS: Final[Mapping[str, tuple[Any, ...]]] = {
    "null": (None,),
    "bool": (True,),
    "int": (1,),
    "float": (0.5,),
    "string": ("made up",),
    "empty string": ("",),
    "list": ([1], ["made up"], [0.5], [True], [[1]], [{}]),
    "empty list": ([],),
    "object": ({"made up": 1}, {"made up": "made up"}, {"made up": {}}),
    "empty object": ({},),
}
"""Kind of JSON value -> some that are tried; a kind is refused where all of them are."""
STRICT: Final = "StrictDataclassFieldValidationError"
_SETTINGS: Final = ("rope_parameters", "rope_scaling")
"""Keys of objects: no string is one."""
_SCALARS: Final = {"bool", "int", "float", "string"}


def refused(config_class: Any, whole: dict[str, Any], key: str, *, within: bool) -> list[str]:
    """The kinds of value that the class refuses for a key.

    For null every exception counts; of the others only what the type of the field refuses, because
    the value that is tried means nothing.

    Args:
        config_class: of the library or a runtime.
        whole: its defaults.
        key: the field.
        within: a config is there, for which every exception counts; objects mean nothing.
    """
    found = []
    for kind, values in KINDS.items():
        errors = [error_of(config_class, {**whole, key: value}) for value in values]
        counts = kind == "null" or (within and kind != "object")
        if all(error == STRICT or (counts and error) for error in errors):
            found.append(kind)
    names_strings = _may_name_strings(config_class, key)
    if not within and key not in _SETTINGS and names_strings and set(found) >= _SCALARS:
        found.remove("string")  # others may be among the strings that it names
    return found


def _may_name_strings(config_class: Any, key: str) -> bool:
    """Whether the type of a field may be one of some strings: all others are refused alike."""
    fields = getattr(config_class, "__dataclass_fields__", {})
    return key not in fields or "Literal" in str(fields[key].type)


def error_of(config_class: Any, values: dict[str, Any]) -> str:
    """Name of the exception; empty where it takes the values."""
    try:
        config_class.from_dict(values)
    except Exception as error:
        return type(error).__name__
    return ""
