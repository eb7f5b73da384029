"""What each release of SGLang does with metadata of compressed-tensors.

Source: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/compressed_tensors/
(`compressed_tensors.py`, `utils.py`).
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_WITH_ACTIVATIONS: Final = (
    "naive-quantized",
    "int-quantized",
    "float-quantized",
    "nvfp4-pack-quantized",
)


class CompressedRow(Struct, frozen=True):
    """What a release, and those after it up to the next row, does."""

    since: str
    ignores_parts: bool = True
    """A name in `ignore` takes every module that has it as a part; later, as the dotted end."""
    formats_of_groups: bool = False
    """A group may have a format of its own; before, that of the file is used."""
    with_activations: tuple[str, ...] = _WITH_ACTIVATIONS
    """Formats of groups whose input_activations are read."""
    weight_only: tuple[str, ...] = ("float",)
    """Types of weights of such groups whose inputs may be in float."""
    quantizes_heads: bool = False
    reads_cache_scheme: bool = False
    """Attention layers look values of kv_cache_scheme up."""
    has_weight_only_nvfp4: bool = False
    asymmetric_ints: bool = False
    """It has a layer for integers with zero points."""
    floats_as_ints: bool = True
    """Floats without input_activations, by group or channel, are taken for integers, for which it
    has no layer then."""


_ROW_0_5_10: Final = CompressedRow("0.5.10")
_ROW_0_5_13: Final = replace(_ROW_0_5_10, since="0.5.13", asymmetric_ints=True)
_ROW_0_5_16: Final = replace(
    _ROW_0_5_13,
    since="0.5.16",
    with_activations=(*_WITH_ACTIVATIONS, "pack-quantized"),
    weight_only=("float", "int"),
)
_ROW_0_5_17: Final = replace(
    _ROW_0_5_16, since="0.5.17", ignores_parts=False, formats_of_groups=True
)
_ROW_0_5_19: Final = replace(
    _ROW_0_5_17, since="0.5.19", quantizes_heads=True, reads_cache_scheme=True
)
_ROW_0_5_22: Final = replace(
    _ROW_0_5_19, since="0.5.22", has_weight_only_nvfp4=True, floats_as_ints=False
)
COMPRESSED_ROWS: Final = (
    _ROW_0_5_10,
    _ROW_0_5_13,
    _ROW_0_5_16,
    _ROW_0_5_17,
    _ROW_0_5_19,
    _ROW_0_5_22,
)
