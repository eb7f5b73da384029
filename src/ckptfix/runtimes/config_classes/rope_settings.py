"""Rotary settings, which config classes of transformers 5 check.

Source: transformers 5.19.0, transformers/modeling_rope_utils.py `validate_rope`.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.kinds import kind_of

_KEYS: Final = ("rope_scaling", "rope_parameters")
"""Keys of rotary settings, the one that counts first."""
_HEAD: Final = "head_dim"
_SCALARS: Final = ("bool", "int", "float")
_NO_NUMBERS: Final = ("string", "list", "object", "empty string", "empty list", "empty object")
"""Kinds of values that it cannot compare with the numbers that a head must have."""


def refused_rope(
    values: Mapping[str, Any],
    needed: Mapping[str, Collection[str]],
    refused: Mapping[str, Collection[str]],
) -> Iterator[tuple[Path, str]]:
    """(Path of a setting that a class refuses, its kind or what it is).

    Args:
        values: the config.
        needed: type of rotary settings -> keys without which they are refused.
        refused: key -> the kinds of values that the class refuses there.
    """
    if (kind := kind_of(values.get(_HEAD))) in _NO_NUMBERS:
        yield (_HEAD,), kind
    key = next((key for key in _KEYS if values.get(key)), "")
    settings = values.get(key)
    if not isinstance(settings, dict):
        kind = kind_of(settings)
        is_renamed = key == _KEYS[0] and kind in refused.get(_KEYS[1], ())
        if is_renamed or (key == _KEYS[1] and kind in _SCALARS):
            yield (key,), kind
        return
    within = {name: part for name, part in settings.items() if isinstance(part, dict)}
    for place, part in [((), settings), *(((name,), part) for name, part in within.items())]:
        type_ = part.get("rope_type", part.get("type"))
        for name in needed.get(type_, ()) if isinstance(type_, str) else ():
            if name not in part:
                yield (key, *place, name), "missing"
