"""MXFP4 of gpt-oss: experts are MXFP4, nothing else is quantized, and no name is read."""

from collections.abc import Mapping

from msgspec import Struct

from ckptfix.runtimes.common.methods import Layer, LayerKind, Scheme
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject


class Mxfp4Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads MXFP4."""

    since: str


class _Lookup(Struct, frozen=True):
    scheme: Scheme

    def find(self, name: str, kind: LayerKind) -> Scheme | None:  # noqa: ARG002 - no name is read
        return self.scheme if kind == "experts" else None

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the interface
        return Layer(("MXFP4_BLOCKS",), frozenset({"blocks", "scales"}))


class Mxfp4(Struct, frozen=True):
    """The class of one release."""

    row: Mxfp4Row
    maps_names = False

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the interface
        """As `QuantMethod`."""
        return _Lookup(Scheme({"weight": "fp4", "group_size": 32}, found.place()))
