"""`INCConfig`, which reads AutoRound.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/inc.py, since 0.24.0 inc/
(`inc.py`, `config_parser.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

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
    UNQUANTIZED_LAYER,
    Doubted,
    Layer,
    LayerKind,
    Lookup,
    NotKnownError,
    QuantMethod,
    Scheme,
    expression,
    require,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject, kind_of
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.vllm.methods.marlin import (
    EXPERT_TILE,
    NO_TILE,
    TILE,
    Tile,
    marlin_group,
)
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

_FLOAT: Final = 16
_INT_PACKING: Final = ("auto_round:auto_gptq", "auto_round:auto_awq")
_MX_GROUP: Final = 32


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads AutoRound."""

    since: str
    bits: tuple[int, ...] = (2, 3, 4, 8)
    data_types: tuple[str, ...] = ("int",)
    read_types: tuple[str, ...] = ("int",)
    """Those of them of which it was read what is built."""
    packing: tuple[str, ...] = _INT_PACKING
    needs_sym: bool = True
    """It stops without `sym`; later that is true."""
    finds_suffixes: bool = False
    """A key is found where a name ends with it, after a dot."""
    experts_by_beginning: bool = True
    """Experts have what all keys that begin with their name have; later they have no rule."""
    packs_always: bool = True
    """A packed name takes what its members have, even where none of them is named."""
    awq_without_zeros: bool = False
    """AWQ without zero points goes to the kernels for AWQ with them."""
    tile: Tile = TILE
    expert_tile: Tile = EXPERT_TILE


_ROW_0_15: Final = _Row("0.15.0")
_ROW_0_24: Final = replace(
    _ROW_0_15,
    since="0.24.0",
    experts_by_beginning=False,
    packs_always=False,
    awq_without_zeros=True,
    tile=NO_TILE,
)
_ROW_0_27: Final = replace(
    _ROW_0_24,
    since="0.27.0",
    data_types=("int", "mx_fp"),
    packing=(*_INT_PACKING, "auto_round:llm_compressor"),
    finds_suffixes=True,
)
_ROW_0_28: Final = replace(_ROW_0_27, since="0.28.0", expert_tile=NO_TILE)
_ROW_0_29: Final = replace(
    _ROW_0_28,
    since="0.29.0",
    data_types=("int", "mx_fp", "fp"),
    read_types=("int", "mx_fp", "fp"),
    packing=(*_INT_PACKING, "auto_round:fp8", "auto_round:llm_compressor"),
    needs_sym=False,
)
_ROW_0_30: Final = replace(_ROW_0_29, since="0.30.0", bits=(2, 3, 4, 5, 6, 7, 8))
ROWS: Final = (_ROW_0_15, _ROW_0_24, _ROW_0_27, _ROW_0_28, _ROW_0_29, _ROW_0_30)


class _Lookup(Struct, frozen=True):
    row: _Row
    names: BoundNames
    default: Raw
    entries: Mapping[str, Mapping[str, Any]]
    written: Mapping[str, str]
    regexes: tuple[tuple[str, UntrustedRegex], ...]
    blocks: tuple[str, ...]
    packing: str
    data_type: str
    place: str

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        for key in (name, f"model.{name}"):
            entry = self.entries.get(key)
            if entry is not None and own_value(entry, "bits", _FLOAT, key) >= _FLOAT:
                return None
        (bits, size, symmetric), by = self._resolve(name, kind)
        if bits >= _FLOAT:
            return None
        fields = {
            "bits": bits,
            "group_size": size,
            "sym": symmetric,
            "packing_format": self.packing,
            "data_type": self.data_type,
        }
        return Scheme(fields, self.written.get(by, by) or self.place)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        bits, size, symmetric = (scheme.fields[key] for key in ("bits", "group_size", "sym"))
        if kind == "embedding":
            return UNQUANTIZED_LAYER
        if self.data_type == "int":
            is_awq = "awq" in self.packing
            has_zeros = is_awq and (self.row.awq_without_zeros or not symmetric)
            if bits not in (4, 8) or (is_awq and bits != 4) or not (symmetric or is_awq):
                raise NotKnownError(f"{bits} bits, sym {symmetric}, {self.packing}")
            if is_awq and not has_zeros:
                raise NotKnownError(f"{bits} bits, sym {symmetric}, {self.packing}")
            row = "AWQ_INT4" if is_awq else f"GPTQ_INT{bits}"
            takes = frozenset({"qweight", "qzeros", "scales"})
            tile = self.row.expert_tile if kind == "experts" else self.row.tile
            return Layer((row,), takes, frozenset({"g_idx"}), marlin_group(size), tile=tile)
        if self.data_type == "fp" and isinstance(size, tuple):
            takes = frozenset({"weight", "weight_scale_inv"})
            return Layer(("FP8_BLOCK_INV",), takes, group_size=size[1], merged_rows=size[0])
        if bits == 4:
            return Layer(("MXFP4_PACKED",), frozenset({"weight_packed", "weight_scale"}))
        return Layer(("MXFP8",), frozenset({"weight", "weight_scale"}))

    def _resolve(self, name: str, kind: LayerKind) -> tuple[Raw, str]:
        if name in self.entries:
            return self._config(name, quantized=True)
        if self.row.finds_suffixes:
            suffixes = (key for key in self.entries if name.endswith(f".{key}"))
            if (key := next(suffixes, None)) is not None:
                return self._config(key, quantized=True)
        quantized = kind != "head"
        if self.blocks:
            quantized = any(name.startswith(block) for block in self.blocks)
        if kind == "experts" and self.row.experts_by_beginning:
            below = [key for key in self.entries if key.startswith(name)]
            if below:
                return common_scheme(
                    name, [self._config(key, quantized=quantized) for key in below]
                )
        for fused, members in self.names.packed.items() if self.entries else ():
            if name.count(fused) != 1:
                continue
            parts = [name.replace(fused, member) for member in members]
            if self.row.packs_always or any(self._is_named(part) for part in parts):
                return common_scheme(
                    name, [self._config(part, quantized=quantized) for part in parts]
                )
        return self._config(name, quantized=quantized)

    def _is_named(self, name: str) -> bool:
        return name in self.entries or self._regex_for(name) is not None

    def _regex_for(self, name: str) -> str | None:
        return next((key for key, regex in self.regexes if regex.search(name)), None)

    def _config(self, name: str, *, quantized: bool) -> tuple[Raw, str]:
        bits, size, symmetric = self.default if quantized else (_FLOAT, -1, True)
        key = name if name in self.entries else self._regex_for(name)
        if key is None:
            return (bits, size, symmetric), ""
        entry = self.entries[key]
        bits = own_value(entry, "bits", bits, key)
        symmetric = own_value(entry, "sym", symmetric, key)
        return (bits, _size(entry.get("group_size", size), key), symmetric), key


def _size(value: object, where: str) -> Any:  # noqa: ANN401 - int or a pair
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(v, int) for v in value):
            return tuple(value)
    elif isinstance(value, int):
        return value
    raise LookupDisagreementError(f"{visible(where)}: group_size is {kind_of(value)}")


class Inc(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:  # noqa: ARG002 - the interface
        """As `QuantMethod`."""
        bits, raw_size = require(found, "bits"), require(found, "group_size")
        data_type = found.get("data_type", "int")
        data_type = "fp" if data_type == "fp8" else str(data_type)
        try:
            size = _size(raw_size, "group_size")
        except LookupDisagreementError as error:
            raise found.stop(f": {error}") from error
        packing = found.get("packing_format") or _default_packing(data_type, bits, size)
        symmetric = hashed(found, "sym") if self.row.needs_sym or "sym" in found else True
        _require_supported(self.row, found, bits, size, data_type, packing, symmetric)
        if data_type not in self.row.read_types:
            return Doubted(f"data_type {data_type}")
        extra = found.get("extra_config") or {}
        if not is_object_of_objects(extra):
            raise found.stop(" is not an object of objects", "extra_config")
        written = names.mapped(extra)
        return _Lookup(
            self.row,
            names,
            (bits, size, symmetric),
            {new: extra[old] for new, old in written.items()},
            written,
            regexes(written, expression),
            tuple(names.mapped(blocks_of(found, skips_false=False))),
            packing,
            data_type,
            found.place(),
        )


def _default_packing(data_type: str, bits: object, size: object) -> str:
    if data_type == "fp" and bits == 8 and isinstance(size, tuple):
        return "auto_round:fp8"
    return "auto_round:llm_compressor" if "mx_fp" in data_type else _INT_PACKING[0]


def _require_supported(
    row: _Row,
    found: JsonObject,
    bits: object,
    size: object,
    data_type: str,
    packing: object,
    symmetric: object,
) -> None:
    """The checks in the constructor of the class."""
    is_mx = "mx_fp" in data_type
    wrong = ""
    if bits not in row.bits:
        wrong = "bits"
    elif data_type not in row.data_types and not (is_mx and "mx_fp" in row.data_types):
        wrong = "data_type"
    elif packing not in row.packing:
        wrong = "packing_format"
    elif data_type == "int" and (isinstance(size, tuple) or packing not in _INT_PACKING):
        wrong = "packing_format" if not isinstance(size, tuple) else "group_size"
    elif data_type == "fp" and (bits != 8 or not isinstance(size, tuple) or not symmetric):
        wrong = "group_size"
    elif data_type == "fp" and packing != "auto_round:fp8":
        wrong = "packing_format"
    elif data_type == "mx_fp" and (bits not in (4, 8) or size != _MX_GROUP or not symmetric):
        wrong = "group_size"
    if wrong:
        problem = f": {kind_of(found.get(wrong))} is not supported in metadata of AutoRound"
        raise found.stop(problem, wrong)


METHOD: Final[Callable[[_Row], QuantMethod]] = Inc
