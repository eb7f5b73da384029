"""`AutoAWQConfig`, before 0.24.0 `AWQMarlinConfig`.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/auto_awq.py, awq_marlin.py
and awq.py.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.methods import (
    Doubted,
    Layer,
    LayerKind,
    Lookup,
    NotKnownError,
    QuantMethod,
    Scheme,
    SkippedLayers,
    number,
    parents,
    require,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject, kind_of
from ckptfix.runtimes.vllm.methods.marlin import EXPERT_TILE, NO_TILE, TILE, Tile

_BITS: Final = 4


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads AWQ."""

    since: str
    listed_packed: bool = False
    """A packed name in the list counts before its members."""
    only_marlin: bool = False
    """There is no other class, for float16 only, that reads what Marlin cannot."""
    tile: Tile = TILE
    expert_tile: Tile = EXPERT_TILE


_ROW_0_15: Final = _Row("0.15.0")
_ROW_0_24: Final = replace(
    _ROW_0_15, since="0.24.0", listed_packed=True, only_marlin=True, tile=NO_TILE
)
_ROW_0_25: Final = replace(_ROW_0_24, since="0.25.0", expert_tile=NO_TILE)
ROWS: Final = (_ROW_0_15, _ROW_0_24, _ROW_0_25)


class _Lookup(Struct, frozen=True):
    row: _Row
    skipped: SkippedLayers
    scheme: Scheme
    quantizes_head: bool

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding" or (kind == "head" and not self.quantizes_head):
            return None
        # Experts are looked up without a packed table.
        return None if self.skipped.skips(name, packed=kind != "experts") else self.scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        takes = frozenset({"qweight", "qzeros", "scales"})
        size = number(scheme.fields["group_size"])
        if size is None:
            raise NotKnownError(f"groups of {scheme.fields['group_size']}")
        tile = self.row.expert_tile if kind == "experts" else self.row.tile
        return Layer(("AWQ_INT4",), takes, group_size=size, tile=tile)


class AutoAwq(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        """As `QuantMethod`."""
        bits = require(found, "w_bit", "bits")
        group_size = require(found, "q_group_size", "group_size")
        zero_point = require(found, "zero_point")
        if not isinstance(group_size, int | float):  # it divides the size of the first layer by it
            problem = f" has {kind_of(group_size)} as group_size, which must be a number"
            raise found.stop(problem)
        if not self.row.only_marlin and (bits != _BITS or not zero_point):
            if "BF16" in dtypes.values():
                problem = " is read by a class for float16 only, and the model is in bfloat16"
                raise found.stop(problem, "quant_method")
            return Doubted(f"AWQ with bits {bits} and zero_point {zero_point}")
        if bits != _BITS:
            raise found.stop(f" has {kind_of(bits)} as bits, not 4")
        # A missing list is made from the tensors: all modules without a quantized one.
        skipped_ = strings(found, "modules_to_not_convert")
        if not skipped_:
            quantized = parents(dtypes, quantized=True)
            skipped_ = [p for p in parents(dtypes, quantized=False) if p not in quantized]
        listed = names.mapped(skipped_)
        fields = {"bits": bits, "group_size": group_size, "zero_point": zero_point}
        scheme = Scheme(fields, found.place())
        skipped = SkippedLayers(names, listed, "substring", self.row.listed_packed)
        return _Lookup(self.row, skipped, scheme, found.get("lm_head") is True)


METHOD: Final[Callable[[_Row], QuantMethod]] = AutoAwq
