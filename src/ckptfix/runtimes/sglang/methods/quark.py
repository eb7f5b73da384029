"""`QuarkConfig`.

Source: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/quark/ (`quark.py`,
`utils.py`).
"""

from collections.abc import Callable, Mapping
from fnmatch import translate
from types import MappingProxyType
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
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject, StopsError, kind_of
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.common.quark import require_layer, word
from ckptfix.text import visible

_Config = Mapping[str, Any]
_PACKED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "gate_up_proj": ("gate_proj", "up_proj"),
        "fused_qkv_a_proj_with_mqa": ("q_a_proj", "kv_a_proj_with_mqa"),
    }
)
"""What SGLang adds to the packed table of every model class for this quantizer
(sglang/srt/model_loader/loader.py)."""
_FP8_ROWS: Final[Mapping[object, tuple[str, ...]]] = {
    "per_tensor": ("FP8_TENSOR", "FP8"),
    "per_channel": ("FP8_CHANNEL", "FP8_PER_CHANNEL_PER_TOKEN"),
}
_CLASSES: Final[Mapping[LayerKind, tuple[str, ...]]] = {
    "linear": ("QKVParallelLinear", "MergedColumnParallelLinear", "RowParallelLinear",
               "ColumnParallelLinear", "ReplicatedLinear"),
    "experts": ("FusedMoE",),
}  # fmt: skip
_BEGINNING: Final = "language_model."


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads Quark."""

    since: str
    whole_excludes: bool
    """Exclude patterns are compared with packed names too, not only with their members, and one
    excluded expert excludes all of them."""
    finds_experts: bool
    """Entries may name experts one by one."""
    maps_entries: bool
    """Names of entries are mapped as those of exclude patterns are."""


ROWS: Final = (
    _Row("0.5.10", whole_excludes=False, finds_experts=False, maps_entries=False),
    _Row("0.5.21", whole_excludes=True, finds_experts=True, maps_entries=True),
)


class _Lookup(Struct, frozen=True):
    row: _Row
    names: BoundNames
    excluded: Patterns
    layers: Mapping[str, _Config]
    by_class: Mapping[str, _Config]
    default: _Config
    place: str

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind in ("head", "embedding") or self._is_excluded(name):
            return None
        if any(each in self.by_class for each in _CLASSES[kind]):
            raise LookupDisagreementError("layer_type_quant_config decides, which is not modelled")
        config, by = self._config(name, kind)
        if config.get("output_tensors") or config.get("bias"):
            what = "output tensors or biases that are quantized, which it does not support"
            raise LookupDisagreementError(f"{by or self.place} declares {what}")
        weight = config.get("weight")
        values = weight if isinstance(weight, dict) else {}
        fields = {
            "weight": word(values.get("dtype")),
            "group_size": values.get("group_size"),
            "qscheme": word(values.get("qscheme")),
            "input": config.get("input_tensors"),
            "values": values,
            "steps": len(weight) if isinstance(weight, list) else 1,
        }
        return Scheme(fields, by or self.place)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the protocol
        fields = scheme.fields
        inputs = fields["input"]
        if fields["weight"] == "fp8_e4m3" and isinstance(inputs, Mapping):
            values = fields["values"]
            require_layer(values if isinstance(values, Mapping) else {}, inputs)
            row = _FP8_ROWS.get(fields["qscheme"])
            if row is not None:
                static = set() if inputs.get("is_dynamic") else {"input_scale"}
                takes = frozenset({"weight", "weight_scale", *static})
                over = frozenset({"output_scale", "input_zero_point", "weight_zero_point"})
                return Layer(row, takes, over)
        if fields["weight"] in ("int8", "int4", "uint4") and fields["steps"] == 1:
            raise LookupDisagreementError(f"it has no layer for {fields['weight']}")
        raise NotKnownError(f"{fields['weight']} {fields['qscheme']}")

    def _is_excluded(self, name: str) -> bool:
        members = self.names.members(name)
        if self.excluded.matching(name) is not None and (self.row.whole_excludes or not members):
            return True
        below = (text.startswith(f"{name}.") for text in self.excluded.mapped)
        if self.row.whole_excludes and name.endswith(".experts") and any(below):
            return True
        if not members:
            return False
        return agreed(name, [self.excluded.matching(member) is not None for member in members])

    def _config(self, name: str, kind: LayerKind) -> tuple[_Config, str]:
        members = self.names.members(name)
        if members:
            found = [self._config(member, kind) for member in members]
            if any(config != found[0][0] for config, _ in found):
                what = f"members of {visible(name)} have different schemes in layer_quant_config"
                raise LookupDisagreementError(what)
            return found[0]
        for text, config in self.layers.items():
            if expression(translate(text)).match(name):
                if not isinstance(config, dict):
                    where = f"{visible(text)} in layer_quant_config"
                    raise LookupDisagreementError(f"{where} is {kind_of(config)}, not an object")
                return config, text
        head = f"{name}."
        below = {t.removeprefix(head): c for t, c in self.layers.items() if t.startswith(head)}
        if self.row.finds_experts and name.endswith(".experts") and below:
            return _of_experts(name, below), f"{head}*"
        return self.default, ""


def _of_experts(name: str, entries: Mapping[str, _Config]) -> _Config:
    """The common scheme of entries that name experts individually.

    Raises:
        LookupDisagreementError: they differ, or skip an expert or a projection.
    """
    projections: dict[int, set[str]] = {}
    for rest in entries:
        index, _, projection = rest.partition(".")
        if not index.isdigit() or not projection:
            raise LookupDisagreementError(f"{visible(name)}.{visible(rest)} is not an expert")
        projections.setdefault(int(index), set()).add(projection)
    is_gapless = projections.keys() == set(range(len(projections)))
    is_even = len(set(map(frozenset, projections.values()))) == 1
    configs = list(entries.values())
    if not (is_gapless and is_even) or any(config != configs[0] for config in configs):
        raise LookupDisagreementError(f"experts of {visible(name)} have different schemes")
    return configs[0]


class Quark(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the protocol
        """As `QuantMethod`."""
        export = found.get("export")
        if not isinstance(export, dict):
            raise found.stop(" has no export, which it requires")
        layers = found.get("layer_quant_config")
        by_class = found.get("layer_type_quant_config")
        default = found.get("global_quant_config")
        for key, value in (
            ("layer_quant_config", layers),
            ("layer_type_quant_config", by_class),
            ("global_quant_config", default),
        ):
            if not isinstance(value, dict):
                raise found.stop(" is not an object", key)
        groups = export.get("kv_cache_group")
        stripped = _without_kv(found, groups, dict(layers or {}))
        excluded = found.get("exclude", [])
        if not isinstance(excluded, list) or not all(isinstance(e, str) for e in excluded):
            raise found.stop(" is not a list of strings", "exclude")
        written = names.mapped(excluded)
        both = {
            spelled: old
            for new, old in written.items()
            for spelled in (new, new.removeprefix(_BEGINNING))
        }
        names = replace(names, packed={**names.packed, **_PACKED})
        entries = stripped
        if self.row.maps_entries:
            entries = {new: stripped[old] for new, old in names.mapped(stripped).items()}
        return _Lookup(
            self.row,
            names,
            exclude_patterns(found, both),
            entries,
            by_class or {},
            default or {},
            found.place(),
        )


def _without_kv(found: JsonObject, groups: object, layers: dict[str, Any]) -> dict[str, Any]:
    """The entries without the outputs that form the KV cache, which the class removes."""
    if not isinstance(groups, list):
        raise found.stop(" has no kv_cache_group", "export")
    if not groups:
        return layers
    configs = [layers.get(str(group)) for group in groups]
    if any(not isinstance(config, dict) for config in configs):
        raise StopsError(f"no entry of {found.place('layer_quant_config')} is for KV caches")
    if any(config != configs[0] for config in configs) or not (configs[0] or {}).get(
        "output_tensors"
    ):
        raise found.stop(" has none for KV caches", "layer_quant_config")
    named = [*map(str, groups), "*q_proj"]
    return {
        name: {**config, "output_tensors": None} if name in named else config
        for name, config in layers.items()
    }


METHOD: Final[Callable[[_Row], QuantMethod]] = Quark
