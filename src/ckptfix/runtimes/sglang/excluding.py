"""Which release of SGLang applies exclude patterns how. One that changed nothing needs no row.

Sources: every release from SGLang 0.5.8 to 0.5.23, sglang/srt/layers/quantization/modelopt_quant.py
(`is_layer_excluded`) and .../utils.py (`is_layer_skipped`). All were read in the wheels.
"""

from typing import Final

from msgspec import Struct


class SglangExcluding(Struct, frozen=True):
    """How a release, and those after it up to the next row, applies exclude patterns."""

    since: str
    by_format: bool = False
    """FP8 and NVFP4 each have their own way (before_0_5_9.py)."""
    by_substring: bool = False
    """A pattern matches anywhere in a name, not only whole dotted parts."""
    ignores_trailing_dots: bool = False
    """A trailing dot of a pattern is ignored."""
    experts_replace: bool = False
    """Below `experts`, only a pattern that contains the name counts."""
    knows_packed: bool = False
    """The members of qkv_proj and gate_up_proj are known even without a packed table."""


EXCLUDING: Final = (
    SglangExcluding("0.5.8", by_format=True, by_substring=True, experts_replace=True),
    SglangExcluding("0.5.9", by_substring=True, experts_replace=True),
    SglangExcluding("0.5.10", by_substring=True),
    SglangExcluding("0.5.11", knows_packed=True),
    SglangExcluding("0.5.13", knows_packed=True, ignores_trailing_dots=True),
)
