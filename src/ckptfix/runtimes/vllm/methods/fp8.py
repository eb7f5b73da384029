"""`Fp8Config`: vllm 0.33.0, vllm/model_executor/layers/quantization/fp8.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    QuantMethod,
    Scheme,
    SkippedLayers,
    require,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject

_SCHEMES: Final = ("static", "dynamic")


@dataclass(frozen=True)
class _Lookup:
    skipped: SkippedLayers
    scheme: Scheme

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind in ("head", "embedding"):
            return None  # neither is a linear layer to this class
        return None if self.skipped.skips(name) else self.scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the interface
        block = scheme.fields["block"]
        if isinstance(block, tuple):
            rows, columns = block
            takes = frozenset({"weight", "weight_scale_inv"})
            return Layer(("FP8_BLOCK_INV",), takes, group_size=columns, merged_rows=rows)
        static = {"input_scale"} if scheme.fields["static"] else set()
        return Layer(("FP8_TENSOR", "FP8"), frozenset({"weight", "weight_scale", *static}))


class _Fp8:
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the interface
        activations = require(found, "activation_scheme")
        if activations not in _SCHEMES:
            raise found.stop(" is not supported", "activation_scheme")
        block = found.get("weight_block_size")
        if block is not None:
            if not isinstance(block, list) or len(block) != 2:
                raise found.stop(" is not a pair", "weight_block_size")
            if activations == "static":
                told = " sets blocks and static activations, which it does not support together"
                raise found.stop(told)
        key = "ignored_layers" if found.get("ignored_layers") else "modules_to_not_convert"
        skipped = SkippedLayers(names, names.mapped(strings(found, key)), "exact")
        static = activations == "static"
        fields = {"fp8": True, "block": tuple(block) if block else None, "static": static}
        return _Lookup(skipped, Scheme(fields, found.place()))


METHOD: Final[QuantMethod] = _Fp8()
