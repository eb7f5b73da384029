"""`AutoAWQConfig`: vllm 0.33.0, vllm/model_executor/layers/quantization/auto_awq.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
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

_BITS: Final = 4


@dataclass(frozen=True)
class _Lookup:
    skipped: SkippedLayers
    scheme: Scheme
    quantizes_head: bool

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding" or (kind == "head" and not self.quantizes_head):
            return None
        # Experts are looked up without a packed table.
        return None if self.skipped.skips(name, packed=kind != "experts") else self.scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the interface
        takes = frozenset({"qweight", "qzeros", "scales"})
        return Layer(("AWQ_INT4",), takes, group_size=number(scheme.fields["group_size"]))


class _AutoAwq:
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:
        bits = require(found, "w_bit", "bits")
        group_size = require(found, "q_group_size", "group_size")
        zero_point = require(found, "zero_point")
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
        skipped = SkippedLayers(names, listed, "substring")
        return _Lookup(skipped, scheme, found.get("lm_head") is True)


METHOD: Final[QuantMethod] = _AutoAwq()
