"""The values that `settings.py` puts into a config."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Path_ = tuple[str, ...]
"""Keys from the top of a config."""
_LEFT_OUT: Final = frozenset(
    {"architectures", "model_type", "transformers_version", "dtype", "torch_dtype", "auto_map"}
    | {"quantization_config", "_name_or_path", "id2label", "label2id"}
)
_DEPTH: Final = 3
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


def values_in(config: Mapping[str, Any], start: Path_) -> Iterator[tuple[Path_, Any]]:
    """(Path, value) of everything in a config that a class may read.

    Args:
        config: the config, or a part of it.
        start: path of the part.
    """
    for key, value in config.items():
        if key in _LEFT_OUT or key.isdigit():
            continue
        yield (*start, key), value
        if isinstance(value, dict) and len(start) + 1 < _DEPTH:
            yield from values_in(value, (*start, key))
