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
