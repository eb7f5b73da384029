"""What vLLM and SGLang have in common in reading metadata of AutoRound."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ckptfix.runtimes.common.objects import JsonObject
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


def common_scheme(name: str, found: Sequence[tuple[Raw, str]]) -> tuple[Raw, str]:
    """The scheme of all members of a packed module, with the key that decides for the first.

    Raises:
        LookupDisagreementError: they differ.
    """
    if len({raw for raw, _ in found}) > 1:
        message = f"members of {visible(name)} have different schemes in extra_config"
        raise LookupDisagreementError(message)
    return found[0]


def blocks_of(found: JsonObject) -> Sequence[str]:
    """The names of the blocks that are quantized; empty for all."""
    blocks = found.get("block_name_to_quantize", found.get("to_quant_block_names"))
    return blocks.split(",") if isinstance(blocks, str) else blocks or []


def is_object_of_objects(value: object) -> bool:
    """True for a valid extra_config: an object of objects."""
    return isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())
