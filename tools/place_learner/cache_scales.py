"""What a class was seen to do with scales of the attention cache. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Result = Mapping[str, Any]
_STOPS: Final = re.compile(r"[kv]_scale\b|KVCacheScaleParameter|'weight_loader'")
"""In errors: the loader has no parameter for the scale of a cache, or a wrong one."""
_IN_TOWER: Final = re.compile(r"vision|visual|audio|encoder")
"""Scales were offered for towers too, which have no cache."""


def loaded(passes: Sequence[Result]) -> bool | None:
    """Whether scales of the attention cache are loaded; None where that was not seen."""
    for run in passes:
        if run["quant_algo"] == "KV":
            if "goes nowhere" in run["error"]:
                return False
            return None if run["error"] else True
    return None


def stops(passes: Sequence[Result]) -> bool | None:
    """True where the loader raised at scales of the attention cache of the language model."""
    errors = [run["error"] for run in passes if run["quant_algo"] == "KV"]
    did = any(
        _STOPS.search(error) and "goes nowhere" not in error and not _IN_TOWER.search(error)
        for error in errors
    )
    return did or None
