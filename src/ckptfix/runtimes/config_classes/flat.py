"""config.json by path."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_QUANTIZATION: Final = "quantization_config"


def flattened(values: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Path, joined by dots, -> value of everything in a config that is not an object.

    Without its quantization, which may name every module.
    """
    for key, value in values.items():
        if not isinstance(value, dict):
            yield f"{start}{key}", value
        elif key != _QUANTIZATION:
            yield from flattened(value, f"{start}{key}.")
