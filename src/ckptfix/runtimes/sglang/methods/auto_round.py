"""`AutoRoundConfig`.

Source: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/auto_round.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from ckptfix.runtimes.common.auto_round import (
    Raw,
    blocks_of,
    common_scheme,
    hashed,
    is_object_of_objects,
    own_value,
    regexes,
)
from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    QuantMethod,
    Scheme,
    expression,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject, kind_of
from ckptfix.runtimes.sglang.methods.marlin import marlin_group
from ckptfix.untrusted_regex import UntrustedRegex

_FLOAT: Final = 16
_SUPPORTED: Final[Mapping[str, tuple[object, ...]]] = {
    "bits": (2, 3, 4, 8),
    "data_type": ("int",),
    "packing_format": ("auto_round:auto_gptq", "auto_round:auto_awq"),
}
_DEFAULTS: Final = {"data_type": "int", "packing_format": "auto_round:auto_gptq"}


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads AutoRound."""

    since: str
    expert_tile: tuple[int, int]
    """Rows and columns that Marlin takes multiples of for experts; for others it stops, in a way
    that depends on the release."""


ROWS: Final = (_Row("0.5.10", (128, 128)), _Row("0.5.18", (1, 1)))


class _Lookup(Struct, frozen=True):
    row: _Row
    names: BoundNames
    default: Raw
    entries: Mapping[str, Mapping[str, Any]]
    regexes: tuple[tuple[str, UntrustedRegex], ...]
    blocks: tuple[str, ...]
    packing: str
    desc_act: bool
    place: str

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding":
            return None
        (bits, size, symmetric), by = self._resolve(name, kind)
        if bits >= _FLOAT:
            return None
        fields = {"bits": bits, "group_size": size, "sym": symmetric}
        return Scheme(fields, by or self.place)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        bits, size, symmetric = (scheme.fields[key] for key in ("bits", "group_size", "sym"))
        group = marlin_group(size)
        tile = self.row.expert_tile if kind == "experts" else (1, 1)
        takes = frozenset({"qweight", "qzeros", "scales"})
        if "gptq" in self.packing:
            if (bits, symmetric) not in ((4, True), (8, True)) or self.desc_act:
                raise NotKnownError(f"{bits} bits, sym {symmetric}, {self.packing}")
            return Layer((f"GPTQ_INT{bits}",), takes, frozenset({"g_idx"}), group, tile=tile)
        if bits != 4:
            raise NotKnownError(f"{bits} bits, {self.packing}")
        return Layer(("AWQ_INT4",), takes, group_size=group, tile=tile)

    def _resolve(self, name: str, kind: LayerKind) -> tuple[Raw, str]:
        if name in self.entries:
            return self._config(name, quantized=True)
        quantized = kind != "head"
        if self.blocks:
            quantized = any(name.startswith(block) for block in self.blocks)
        if self.entries and kind == "experts":
            below = [key for key in self.entries if key.startswith(name)]
            if below:
                return self._same(name, below, quantized=quantized)
        for fused, members in self.names.packed.items() if self.entries else ():
            if name.count(fused) == 1:
                parts = [name.replace(fused, member) for member in members]
                return self._same(name, parts, quantized=quantized)
        return self._config(name, quantized=quantized)

    def _same(self, name: str, parts: list[str], *, quantized: bool) -> tuple[Raw, str]:
        return common_scheme(name, [self._config(part, quantized=quantized) for part in parts])

    def _config(self, name: str, *, quantized: bool) -> tuple[Raw, str]:
        bits, size, symmetric = self.default if quantized else (_FLOAT, -1, True)
        key = name if name in self.entries else None
        key = key or next((k for k, regex in self.regexes if regex.match(name)), None)
        if key is None:
            return (bits, size, symmetric), ""
        entry = self.entries[key]
        bits = own_value(entry, "bits", bits, key)
        symmetric = own_value(entry, "sym", symmetric, key)
        return (bits, own_value(entry, "group_size", size, key), symmetric), key


class AutoRound(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = False

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the protocol
        """As `QuantMethod`."""
        default = tuple(hashed(found, key) for key in ("bits", "group_size", "sym"))
        for key, values in _SUPPORTED.items():
            if (value := found.get(key, _DEFAULTS.get(key))) not in values:
                problem = f": {kind_of(value)} is not supported in metadata of AutoRound"
                raise found.stop(problem, key)
        extra = found.get("extra_config") or {}
        if not is_object_of_objects(extra):
            raise found.stop(" is not an object of objects", "extra_config")
        return _Lookup(
            self.row,
            names,
            (default[0], default[1], default[2]),
            extra,
            regexes(extra, lambda key: expression(f"(?:{key})\\Z")),
            blocks_of(found, skips_false=True),
            str(found.get("packing_format", _DEFAULTS["packing_format"])),
            bool(found.get("desc_act")),
            found.place(),
        )


METHOD: Final[Callable[[_Row], QuantMethod]] = AutoRound
