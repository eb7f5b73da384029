"""`QuarkConfig`.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/quark/ (`quark.py`,
`quark_moe.py`, `utils.py`) and utils/config_utils.py.
"""

from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    Patterns,
    QuantMethod,
    Scheme,
    agreed,
    exclude_patterns,
    expression,
    number,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject, StopsError
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.common.quark import require_layer, word
from ckptfix.text import visible

_Config = Mapping[str, Any]
_ROWS: Final[Mapping[tuple[object, object], tuple[str, ...]]] = {
    ("fp8_e4m3", "per_tensor"): ("FP8_TENSOR", "FP8"),
    ("fp8_e4m3", "per_channel"): ("FP8_CHANNEL", "FP8_PER_CHANNEL_PER_TOKEN"),
    ("int8", "per_tensor"): ("INT8_TENSOR",),
    ("int8", "per_channel"): ("INT8_CHANNEL", "W8A16"),
    ("fp4", "per_group"): ("mxfp4",),
    ("int4", "per_group"): ("QUARK_INT4",),
    ("uint4", "per_group"): ("QUARK_INT4",),
}
"""(dtype, qscheme) of the weight -> rows of the table of stored formats."""
_INTS: Final = ("int4", "uint4")
_PACKINGS: Final = ("order", "reorder")
"""Values of `pack_method` that its layer for INT4 takes."""


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads Quark."""

    since: str
    packs_itself: bool = True
    """A packed table that has a name as its own member is an endless recursion."""
    int8_per_token: bool = False
    """It has a layer for INT8 whose inputs are scaled while it runs."""
    child_excludes: bool = False
    """One excluded expert excludes all of them."""
    packed_excludes: bool = False
    """A packed name is compared with the exclude patterns, and not only its members."""
    weight_only_int4: bool = False
    """It has a layer for INT4 whose inputs are in float."""
    experts: tuple[str, ...] = ("fp8_e4m3",)
    """The dtypes of experts of which it was read what they are built as."""


_ROW_0_15: Final = _Row("0.15.0")
_ROW_0_19: Final = replace(_ROW_0_15, since="0.19.0", packs_itself=False)
_ROW_0_20: Final = replace(_ROW_0_19, since="0.20.0", int8_per_token=True)
_ROW_0_26: Final = replace(_ROW_0_20, since="0.26.0", child_excludes=True)
_ROW_0_30: Final = replace(_ROW_0_26, since="0.30.0", packed_excludes=True)
_ROW_0_31: Final = replace(_ROW_0_30, since="0.31.0", weight_only_int4=True)
_ROW_0_33: Final = replace(
    _ROW_0_31, since="0.33.0", experts=("fp8_e4m3", "fp4", "int8", "int4", "uint4")
)
ROWS: Final = (
    _ROW_0_15,
    _ROW_0_19,
    _ROW_0_20,
    _ROW_0_26,
    _ROW_0_30,
    _ROW_0_31,
    _ROW_0_33,
)


class _Lookup(Struct, frozen=True):
    row: _Row
    names: BoundNames
    excluded: Patterns
    layers: Mapping[str, _Config]
    default: _Config
    place: str
    packing: object
    """`pack_method` of the export."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if self._is_excluded(name, kind) or kind in ("head", "embedding"):
            return None
        if kind == "experts":
            config, by = self._layer(name)
            return self._scheme(config or self.default, by)
        members = self.names.members(name)
        if not members:
            config, by = self._layer(name)
            return self._scheme(config or self.default, by)
        if self.row.packs_itself and name in members:
            raise LookupDisagreementError(f"endless recursion at {visible(name)}")
        found = [self._layer(member) for member in members]
        configs = [config or self.default for config, _ in found]
        if any(config != configs[0] for config in configs):
            what = f"members of {visible(name)} have different schemes in layer_quant_config"
            raise LookupDisagreementError(what)
        return self._scheme(configs[0], found[0][1])

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        fields = scheme.fields
        inputs = fields["input"]
        dynamic = not isinstance(inputs, Mapping) or bool(inputs.get("is_dynamic"))
        if kind == "experts" and fields["weight"] not in self.row.experts:
            raise NotKnownError(f"experts in {fields['weight']}")
        if fields["weight"] in _INTS and not self.row.weight_only_int4:
            raise LookupDisagreementError(f"it has no layer for {fields['weight']}")
        values = fields["values"] if isinstance(fields["values"], Mapping) else {}
        if fields["weight"] in _INTS:
            self._require_int4(values, inputs, kind)
        if fields["weight"] == "int8" and dynamic and not self.row.int8_per_token:
            raise LookupDisagreementError("it has no layer for int8 with dynamic inputs")
        row = _ROWS.get((fields["weight"], fields["qscheme"])) if fields["steps"] == 1 else None
        if row is None or (row[0].startswith(("FP8", "INT8")) and inputs is None):
            what = f"{fields['weight']} {fields['qscheme']}"
            raise NotKnownError(f"{what}, with inputs {'in float' if inputs is None else 'too'}")
        require_layer(values, inputs)
        static = set() if dynamic or fields["weight"] == "fp4" else {"input_scale"}
        zeros = {"weight_zero_point"} if "QUARK_INT4" in row else set()
        takes = frozenset({"weight", "weight_scale", *static, *zeros})
        over = frozenset({"output_scale", "weight_zero_point", "input_zero_point"})
        size = number(fields["group_size"]) if "QUARK_INT4" in row else None
        return Layer(row, takes, over - takes, size)

    def _require_int4(self, weight: Mapping[str, Any], inputs: object, kind: LayerKind) -> None:
        """Check what the layer for INT4 is made for.

        vllm 0.31.0 to 0.33.0, quantization/quark/quark.py `_is_w4a16_int4` and utils.py
        `parse_w4a16_int4_weight_config`.

        Raises:
            LookupDisagreementError: it raises.
            NotKnownError: experts with quantized inputs have classes of their own.
        """
        if inputs is not None and kind == "experts":
            raise NotKnownError("experts in int4 with quantized inputs")
        if inputs is not None:
            raise LookupDisagreementError("it has no layer for int4 with quantized inputs")
        if self.packing not in _PACKINGS:
            raise LookupDisagreementError("it has no layer for int4 with this pack_method")
        size, symmetric = weight.get("group_size"), weight.get("symmetric")
        if not isinstance(size, int) or size <= 0:
            raise LookupDisagreementError("it requires a group_size of int4 above zero")
        if not isinstance(symmetric, bool):
            raise LookupDisagreementError("it requires symmetric of int4 to be true or false")

    def _is_excluded(self, name: str, kind: LayerKind) -> bool:
        if kind == "experts" and self.row.child_excludes:
            # Experts are all quantized or none: one excluded expert excludes all of them.
            below = f"{name}."
            plain = (text for text in self.excluded.mapped if not text.startswith("re:"))
            if any(text == name or text.startswith(below) for text in plain):
                return True
        members = self.names.members(name)
        if self.row.packed_excludes or not members:
            if self.excluded.matching(name) is not None:
                return True
            if not members:
                return False
        return agreed(name, [self.excluded.matching(member) is not None for member in members])

    def _layer(self, name: str) -> tuple[_Config | None, str]:
        """The first entry that matches the name; one without a star matches any part of it."""
        for text, config in self.layers.items():
            if "*" in text:
                if expression(translate(text)).match(name):
                    return config, text
            elif name in text:
                return config, text
        return None, ""

    def _scheme(self, config: _Config, by: str) -> Scheme:
        if config.get("output_tensors") or config.get("bias"):
            what = "output tensors or biases that are quantized, which it does not support"
            raise LookupDisagreementError(f"{by or self.place} declares {what}")
        weight = config.get("weight")
        first = weight[0] if isinstance(weight, list) and weight else weight
        values = first if isinstance(first, dict) else {}
        fields = {
            "weight": word(values.get("dtype")),
            "group_size": values.get("group_size"),
            "qscheme": word(values.get("qscheme")),
            "steps": len(weight) if isinstance(weight, list) else 1,
            "input": config.get("input_tensors"),
            "values": values,
        }
        return Scheme(fields, by or self.place)


class Quark(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the interface
        """As `QuantMethod`."""
        if found.get("export") is None:
            raise found.stop(" has no export, which it requires")
        excluded = found.get("exclude")
        is_list = isinstance(excluded, list) and all(isinstance(e, str) for e in excluded)
        if not is_list:
            raise found.stop(" is not a list of strings", "exclude")
        layers = found.get("layer_quant_config") or {}
        default = found.get("global_quant_config")
        if not isinstance(layers, dict) or not isinstance(default, dict):
            raise found.stop(" is not an object", "global_quant_config")
        if found.get("layer_type_quant_config", {}) is None:
            raise found.stop(" is null, not an object", "layer_type_quant_config")
        _require_kv_entries(found, layers)
        written = names.mapped(layers)
        stripped = {new: _without_kv(found, old, layers[old]) for new, old in written.items()}
        return _Lookup(
            self.row,
            names,
            exclude_patterns(found, names.mapped(excluded)),
            {new: config if isinstance(config, dict) else {} for new, config in stripped.items()},
            default,
            found.place(),
            found.child("export").get("pack_method"),
        )


def _without_kv(found: JsonObject, name: str, config: object) -> object:
    """An entry without the outputs that form the KV cache, which the class removes."""
    groups = found.child("export").get("kv_cache_group") or []
    named = [*groups, "*q_proj"] if groups else []
    is_kv = any(expression(translate(str(group))).match(name) for group in named)
    return {**config, "output_tensors": None} if is_kv and isinstance(config, dict) else config


def _require_kv_entries(found: JsonObject, layers: Mapping[str, Any]) -> None:
    """Check that the KV cache groups of the export have entries of their own."""
    groups = found.child("export").get("kv_cache_group")
    if not isinstance(groups, list):
        raise found.stop(" has no kv_cache_group", "export")
    named = [g for g in groups if isinstance(g, str)]
    entries = [e for e in layers if any(expression(translate(g)).match(e) for g in named)]
    if named and not entries:
        cause = f"no entry of {found.place('layer_quant_config')} is for KV caches"
        raise StopsError(cause, found.at("layer_quant_config"))
    for entry in entries:
        value = layers[entry]
        if not isinstance(value, dict) or not value.get("output_tensors"):
            raise found.stop(" has none for KV caches", "layer_quant_config")


METHOD: Final[Callable[[_Row], QuantMethod]] = Quark
