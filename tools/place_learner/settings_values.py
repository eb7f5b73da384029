"""The values that `settings.py` puts into a config."""

from collections.abc import Mapping
from typing import Any, Final

ABSENT: Final = object()
VALUES: Final[Mapping[str, Any]] = {
    "missing": ABSENT,
    "null": None,
    "empty string": "",
    "empty list": [],
    "empty object": {},
    "string": "made up",
    "list": [1],
    "object": {"made up": 1},
    "number": 1,
}
"""Kind of a value -> the one that is tried."""
MEANS_SOMETHING: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "list": list,
    "object": dict,
    "number": (int, float),
}
"""Kind -> type of the values whose class takes others of that kind: one says nothing of them."""


def tells(kind: str, value: object) -> bool:
    """Whether trying a kind of value in place of a config's own says anything of others.

    A number where there is none may turn a part of the model on that needs more settings: with 128
    experts alone, a dense Gemma 4 cannot be built, but a model with experts has their size as well.
    """
    if kind == "number" and value is None:
        return False
    return isinstance(value, bool) or not isinstance(value, MEANS_SOMETHING.get(kind, ()))
