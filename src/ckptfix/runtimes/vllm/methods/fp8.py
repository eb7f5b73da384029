"""`Fp8Config`: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/fp8.py."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.block_sizes import block_of
from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    QuantMethod,
    Scheme,
    SkippedLayers,
    require,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject

_SCHEMES: Final = ("static", "dynamic")


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads FP8."""

    since: str
    listed_packed: bool = False
    """A packed name in the list counts before its members."""
    reads_store_dtype: bool = False
    """Experts may be in another format, which `store_dtype` names."""


_ROW_0_15: Final = _Row("0.15.0")
_ROW_0_24: Final = replace(_ROW_0_15, since="0.24.0", listed_packed=True, reads_store_dtype=True)
ROWS: Final = (_ROW_0_15, _ROW_0_24)


class _Lookup(Struct, frozen=True):
    skipped: SkippedLayers
    scheme: Scheme
    store_dtype: object
    """Of experts, where it is another one than that of linear layers."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind in ("head", "embedding"):
            return None  # neither is a linear layer to this class
        return None if self.skipped.skips(name) else self.scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        if kind == "experts" and self.store_dtype == "mxfp4":
            raise NotKnownError("experts with store_dtype mxfp4")
        block = scheme.fields["block"]
        if isinstance(block, tuple):
            rows, columns = block
            takes = frozenset({"weight", "weight_scale_inv"})
            return Layer(("FP8_BLOCK_INV",), takes, group_size=columns, merged_rows=rows)
        static = {"input_scale"} if scheme.fields["static"] else set()
        return Layer(("FP8_TENSOR", "FP8"), frozenset({"weight", "weight_scale", *static}))


class Fp8(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the interface
        """As `QuantMethod`."""
        activations = require(found, "activation_scheme")
        if activations not in _SCHEMES:
            raise found.stop(" is not supported", "activation_scheme")
        block = block_of(found)
        if block is not None and activations == "static":
            problem = " sets blocks and static activations, which it does not support together"
            raise found.stop(problem)
        key = "ignored_layers" if found.get("ignored_layers") else "modules_to_not_convert"
        listed = names.mapped(strings(found, key))
        skipped = SkippedLayers(names, listed, "exact", self.row.listed_packed)
        store_dtype = found.get("store_dtype") if self.row.reads_store_dtype else None
        static = activations == "static"
        fields = {"fp8": True, "block": block, "static": static}
        return _Lookup(skipped, Scheme(fields, found.place()), store_dtype)


METHOD: Final[Callable[[_Row], QuantMethod]] = Fp8
