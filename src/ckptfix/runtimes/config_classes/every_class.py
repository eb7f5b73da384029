"""What every config class of transformers 5 refuses, whatever model it is of.

Source: transformers 5.19.0, transformers/configuration_utils.py (`PreTrainedConfig.__post_init__`)
and its setter of `per_layer_config`; seen with vllm 0.33.0 and sglang 0.5.23.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckptfix.runtimes.common.kinds import kind_of
from ckptfix.text import visible

_PER_LAYER: Final = "per_layer_config"
_DTYPES: Final = ("dtype", "torch_dtype")
"""The one that counts first."""
_KNOWN_DTYPES: Final = frozenset(
    {"bfloat16", "bool", "cdouble", "cfloat", "chalf", "complex128", "complex32", "complex64"}
    | {"double", "float", "float16", "float32", "float4_e2m1fn_x2", "float64", "float8_e4m3fn"}
    | {"float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "half", "int"}
    | {"int16", "int32", "int64", "int8", "long", "short", "uint16", "uint32", "uint64", "uint8"}
)
"""Names of torch; other attributes of it are no types, and are not known here either."""


def refused_anywhere(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(Key of a value that it refuses, its kind or what it is).

    Args:
        values: the config.
    """
    per_layer = values.get(_PER_LAYER)
    if per_layer is not None and not isinstance(per_layer, dict):
        yield _PER_LAYER, kind_of(per_layer)
    elif odd := next((key for key in per_layer or () if not _is_number(key)), None):
        yield _PER_LAYER, f"an object with {visible(odd)}, which is no number of a layer"
    key = next((key for key in _DTYPES if values.get(key) is not None), "")
    name = values.get(key)
    if isinstance(name, str) and name not in _KNOWN_DTYPES:
        yield key, f"{visible(name) or 'an empty string'}, which is no type of torch"
    elif isinstance(name, list) and "." not in str(name):  # it takes what follows the first dot
        yield key, kind_of(name)


def _is_number(key: str) -> bool:
    try:
        int(key)
    except ValueError:
        return False
    return True
