"""`AWQMarlinConfig`: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/awq/awq.py."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    QuantMethod,
    Scheme,
    require,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject, kind_of
from ckptfix.runtimes.sglang.methods.marlin import marlin_group

_BITS: Final = 4


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads AWQ."""

    since: str


ROWS: Final = (_Row("0.5.10"),)


class _Lookup(Struct, frozen=True):
    skipped: tuple[str, ...]
    scheme: Scheme
    quantizes_head: bool

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding" or (kind == "head" and not self.quantizes_head):
            return None
        return None if any(listed in name for listed in self.skipped) else self.scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the protocol
        if not scheme.fields["zero_point"]:
            raise NotKnownError("AWQ without zero points")
        size = marlin_group(scheme.fields["group_size"])
        return Layer(("AWQ_INT4",), frozenset({"qweight", "qzeros", "scales"}), group_size=size)


class AwqMarlin(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = False

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the protocol
        """As `QuantMethod`."""
        bits = require(found, "w_bit", "bits")
        group_size = require(found, "q_group_size", "group_size")
        zero_point = require(found, "zero_point")
        if bits != _BITS:
            raise found.stop(f" has {kind_of(bits)} as bits, not 4")
        if not zero_point and "BF16" in dtypes.values():
            # Without zero points the class for Marlin is not used, and the other one only supports
            # float16.
            raise found.stop(" is false, but the model is in bfloat16", "zero_point")
        fields = {"bits": bits, "group_size": group_size, "zero_point": zero_point}
        skipped = tuple(strings(found, "modules_to_not_convert"))
        return _Lookup(skipped, Scheme(fields, found.place()), found.get("lm_head") is True)


METHOD: Final[Callable[[_Row], QuantMethod]] = AwqMarlin
