"""What vLLM and SGLang have in common in reading metadata of AutoRound."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ckptfix.runtimes.common.methods import require
from ckptfix.runtimes.common.objects import JsonObject, kind_of
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

_SPECIAL: Final = frozenset(r"*+?^$()[]{}|\\")

Raw = tuple[Any, Any, Any]
"""(bits, group size, symmetric)."""


def regexes(
    keys: Iterable[str], compiled: Callable[[str], UntrustedRegex]
) -> tuple[tuple[str, UntrustedRegex], ...]:
    """Keys of extra_config with a special character, compiled; invalid ones are skipped."""
    made = []
    for key in keys:
        if _SPECIAL.intersection(key):
            try:
                made.append((key, compiled(key)))
            except re.error:
                continue
    return tuple(made)


def hashed(found: JsonObject, key: str) -> Any:  # noqa: ANN401 - JSON
    """A value that runtimes compare for the members of packed modules in a set.

    Raises:
        StopsError: it is missing, or cannot be in one.
    """
    value = require(found, key)
    if isinstance(value, dict | list):
        raise found.stop(f" is {kind_of(value)}", key)
    return value


def own_value(entry: Mapping[str, Any], field: str, usual: object, where: str) -> Any:  # noqa: ANN401 - JSON
    """`bits`, `group_size` or `sym` of an entry of extra_config, or the usual one.

    Raises:
        LookupDisagreementError: runtimes compare it with a number, or look it up.
    """
    value = entry.get(field, usual)
    if isinstance(value, dict | list) or (field == "bits" and not isinstance(value, int | float)):
        raise LookupDisagreementError(f"{visible(where)}: {field} is {kind_of(value)}")
    return value


def common_scheme(name: str, found: Sequence[tuple[Raw, str]]) -> tuple[Raw, str]:
    """The scheme of all members of a packed module, with the key that decides for the first.

    Raises:
        LookupDisagreementError: they differ.
    """
    if len({raw for raw, _ in found}) > 1:
        message = f"members of {visible(name)} have different schemes in extra_config"
        raise LookupDisagreementError(message)
    return found[0]


_BLOCKS: Final = ("block_name_to_quantize", "to_quant_block_names")


def blocks_of(found: JsonObject, *, skips_false: bool) -> tuple[str, ...]:
    """The names of the blocks that are quantized; empty for all.

    Args:
        found: the metadata.
        skips_false: the runtime reads false and 0 as null.

    Raises:
        StopsError: they are neither a string nor a list of names; of an object, the keys count.
    """
    key = next((key for key in _BLOCKS if key in found), _BLOCKS[0])
    blocks = found.get(key)
    if isinstance(blocks, str):
        return tuple(blocks.split(","))
    if blocks is None or (skips_false and not blocks):
        return ()
    if isinstance(blocks, dict | list) and all(isinstance(name, str) for name in blocks):
        return tuple(blocks)
    raise found.stop(" is not a list of names", key)


def is_object_of_objects(value: object) -> bool:
    """True for a valid extra_config: an object of objects."""
    return isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())
