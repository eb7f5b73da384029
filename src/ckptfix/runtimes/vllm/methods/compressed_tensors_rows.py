"""What each release of vLLM does with metadata of compressed-tensors.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/compressed_tensors/
(`compressed_tensors.py`, `utils.py`, compressed_tensors_moe/).
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.vllm.methods.marlin import EXPERT_TILE, NO_TILE, TILE, Tile


class CompressedRow(Struct, frozen=True):
    """What a release, and those after it up to the next row, does."""

    since: str
    experts_class: str = "FusedMoE"
    """The class of expert banks, which a target may name; that of linear layers includes it."""
    quantizes_heads: bool = False
    quantizes_embeddings: bool = False
    class_before_members: bool = True
    """A target that names a class counts before those that match the members of a packed module."""
    needs_target: bool = True
    """It stops at a layer that no target matches; later that is unquantized."""
    packed_ignores: bool = False
    """Expressions in `ignore` are compared with packed names too, not only with their members."""
    takes_half_of_kv_scheme: bool = True
    """A kv_cache_scheme passes with the right type or the right number of bits."""
    reads_sparsity: bool = True
    """It reads sparsity_config; later it stops there."""
    reads_order: bool = True
    """It loads activation orders; later it stops at them."""
    has_mxfp8: bool = False
    tile: Tile = TILE
    expert_tile: Tile = EXPERT_TILE


_ROW_0_15: Final = CompressedRow("0.15.0")
_ROW_0_20: Final = replace(_ROW_0_15, since="0.20.0", quantizes_heads=True, has_mxfp8=True)
_ROW_0_21: Final = replace(_ROW_0_20, since="0.21.0", needs_target=False)
_ROW_0_22: Final = replace(
    _ROW_0_21, since="0.22.0", experts_class="RoutedExperts", reads_sparsity=False
)
_ROW_0_23: Final = replace(_ROW_0_22, since="0.23.0", quantizes_embeddings=True)
_ROW_0_24: Final = replace(_ROW_0_23, since="0.24.0", takes_half_of_kv_scheme=False, tile=NO_TILE)
_ROW_0_27: Final = replace(
    _ROW_0_24, since="0.27.0", class_before_members=False, expert_tile=NO_TILE
)
_ROW_0_30: Final = replace(_ROW_0_27, since="0.30.0", packed_ignores=True, reads_order=False)
COMPRESSED_ROWS: Final = (
    _ROW_0_15,
    _ROW_0_20,
    _ROW_0_21,
    _ROW_0_22,
    _ROW_0_23,
    _ROW_0_24,
    _ROW_0_27,
    _ROW_0_30,
)
