"""`Mxfp4Config` as gpt-oss uses it: experts are MXFP4, nothing else is quantized.

Source: sglang 0.5.10 to 0.5.23, sglang/srt/layers/quantization/mxfp4.py, which is made without
`ignored_layers`, and `_load_weights_mxfp4` of sglang/srt/models/gpt_oss.py. No name is read.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.runtimes.common.methods import Layer, LayerKind, QuantMethod, Scheme
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads MXFP4."""

    since: str


ROWS: Final = (_Row("0.5.10"),)


class _Lookup(Struct, frozen=True):
    scheme: Scheme

    def find(self, name: str, kind: LayerKind) -> Scheme | None:  # noqa: ARG002 - no name is read
        return self.scheme if kind == "experts" else None

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the interface
        return Layer(("MXFP4_BLOCKS",), frozenset({"blocks", "scales"}))


class Mxfp4(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = False

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the interface
        """As `QuantMethod`."""
        return _Lookup(Scheme({"weight": "fp4", "group_size": 32}, found.place()))


METHOD: Final[Callable[[_Row], QuantMethod]] = Mxfp4
