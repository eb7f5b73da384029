"""`Fp8Config`.

Source: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/fp8.py and utils.py.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.runtimes.common.block_sizes import block_of
from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    QuantMethod,
    Scheme,
    agreed,
    require,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.sglang.excluding import EXCLUDING, SglangExcluding

_SCHEMES: Final = ("static", "dynamic")
ROWS: Final = EXCLUDING
"""A list of modules is applied as one of exclude patterns is."""
_FUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}
"""Members of packed modules that the class knows if the model class has no table for them."""


class _Lookup(Struct, frozen=True):
    row: SglangExcluding
    names: BoundNames
    listed: tuple[str, ...]
    scheme: Scheme

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind in ("head", "embedding"):
            return None  # neither is a linear layer to this class
        return None if self._skips(name) else self.scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the protocol
        block = scheme.fields["block"]
        if isinstance(block, tuple):
            rows, columns = block
            takes = frozenset({"weight", "weight_scale_inv"})
            return Layer(("FP8_BLOCK_INV",), takes, group_size=columns, merged_rows=rows)
        static = {"input_scale"} if scheme.fields["static"] else set()
        return Layer(("FP8_TENSOR", "FP8"), frozenset({"weight", "weight_scale", *static}))

    def _skips(self, name: str) -> bool:
        last = name.rpartition(".")[2]
        builtin = _FUSED if self.row.knows_packed else {}
        table = self.names.packed if last in self.names.packed else builtin
        if last in table:
            members = [name.replace(last, member) for member in table[last]]
            return agreed(name, [self._matches(member) for member in members])
        if self._matches(name):
            return True
        if "gate_up_proj" in name:
            pair = [name.replace("gate_up_proj", m) for m in ("gate_proj", "up_proj")]
            return all(member in self.listed for member in pair)
        return "experts" in name and any(name in e for e in self.listed if "experts" in e)

    def _matches(self, name: str) -> bool:
        """By dotted parts: the whole name, a prefix, or parts in between."""
        if self.row.by_substring:
            return any(listed in name for listed in self.listed)
        if not self.row.ignores_trailing_dots:
            return any(f".{listed}." in f".{name}." for listed in self.listed)
        found = f".{name.rstrip('.')}."
        return any(f".{listed.rstrip('.')}." in found for listed in self.listed)


class Fp8(Struct, frozen=True):
    """The class of one release."""

    row: SglangExcluding
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the protocol
        """As `QuantMethod`."""
        activations = require(found, "activation_scheme")
        if activations not in _SCHEMES:
            raise found.stop(" is not supported", "activation_scheme")
        block = block_of(found)
        if block is not None and activations != "dynamic":
            raise found.stop(
                " sets blocks and static activations, which it does not support together"
            )
        key = "ignored_layers" if "ignored_layers" in found else "modules_to_not_convert"
        both = [
            spelled
            for name in strings(found, key)
            for spelled in (name.removeprefix("model."), f"model.{name.removeprefix('model.')}")
        ]
        fields = {
            "fp8": True,
            "block": block,
            "static": activations == "static",
        }
        return _Lookup(self.row, names, tuple(names.mapped(both)), Scheme(fields, found.place()))


METHOD: Final[Callable[[SglangExcluding], QuantMethod]] = Fp8
