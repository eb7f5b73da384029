"""`CompressedTensorsConfig`.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/compressed_tensors/
(`compressed_tensors.py`, `utils.py`, compressed_tensors_moe/).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from ckptfix.runtimes.common.compressed import (
    REGEX_MARK,
    arguments,
    by_class,
    by_members,
    ignored_names,
    of_experts,
    refusal,
    require_no_text,
    schemes_of,
)
from ckptfix.runtimes.common.methods import (
    Doubted,
    Layer,
    LayerKind,
    Lookup,
    NotKnownError,
    Patterns,
    QuantMethod,
    Scheme,
    agreed,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.vllm.methods.compressed_tensors_layers import layer_of
from ckptfix.runtimes.vllm.methods.compressed_tensors_rows import COMPRESSED_ROWS, CompressedRow
from ckptfix.text import visible

_CLASSES: Final[Mapping[LayerKind, str]] = {
    "linear": "ReplicatedLinear",
    "head": "ParallelLMHead",
    "embedding": "VocabParallelEmbedding",
}
"""Classes of layers; for linear ones only the end of the name is compared. That of experts depends
on the release."""
_WITH_ACTIVATIONS: Final = (
    "naive-quantized",
    "int-quantized",
    "float-quantized",
    "nvfp4-pack-quantized",
)
"""Formats whose groups have quantized inputs, declared or not."""


class _Lookup(Struct, frozen=True):
    row: CompressedRow
    names: BoundNames
    ignored: Patterns
    targets: Patterns
    schemes: Mapping[str, Scheme]
    """Target as the release stores it -> its scheme."""
    transforms: bool
    """The metadata also declares rotations of weights and inputs."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "experts":
            return of_experts(name, lambda part: self._scheme(part, "experts"))[-1]
        if kind == "head" and not self.row.quantizes_heads:
            return None
        if kind == "embedding" and not self.row.quantizes_embeddings:
            return None
        if kind == "head":
            try:
                return self._scheme(name, kind)
            except LookupDisagreementError:
                return None
        scheme = self._scheme(name, kind)
        if kind == "embedding" and scheme is not None and not _is_plain_int(scheme.fields):
            raise LookupDisagreementError("it supports embeddings in integers only")
        return scheme

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        if self.transforms:
            raise NotKnownError("transform_config")
        return layer_of(self.row, scheme.fields, kind)

    def _scheme(self, name: str, kind: LayerKind) -> Scheme | None:
        if self._is_ignored(name):
            return None
        if not self.schemes:
            return None
        class_name = self.row.experts_class if kind == "experts" else _CLASSES[kind]
        target = self.targets.matching(name)
        if target is None and self.row.class_before_members:
            target = by_class(self.schemes, class_name)
        if target is None:
            target = by_members(self.names, name, self.targets.matching)
        if target is None:
            target = by_class(self.schemes, class_name)
        if target is None and self.row.needs_target:
            raise LookupDisagreementError(f"no target of the metadata matches {visible(name)}")
        return None if target is None else self.schemes[target]

    def _is_ignored(self, name: str) -> bool:
        members = self.names.members(name)
        is_whole = self.row.packed_ignores or not members or name in self.ignored.mapped
        if is_whole and self.ignored.matching(name) is not None:
            return True
        if not members:
            return False
        return agreed(name, [self.ignored.matching(member) is not None for member in members])


def _is_plain_int(fields: Mapping[str, object]) -> bool:
    weight_only = not fields["act"] and fields["type"] == "int"
    return weight_only and fields["strategy"] in ("channel", "group")


class CompressedTensors(Struct, frozen=True):
    """The class of one release."""

    row: CompressedRow
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:  # noqa: ARG002 - the interface
        """As `QuantMethod`."""
        schemes: dict[str, Scheme] = {}
        groups = found.get("config_groups") or {}
        if not isinstance(groups, dict):
            raise found.stop(" is not an object", "config_groups")
        for name, group in groups.items():
            schemes.update(_group(self.row, found, name, group))
        require_no_text(found, "sparsity_config", "transform_config")
        sparse = found.get("sparsity_config")
        if isinstance(sparse, dict) and sparse.get("targets"):
            if self.row.reads_sparsity:
                return Doubted("sparsity_config")
            raise found.stop(" is no longer supported", "sparsity_config")
        written = _mapped(names, schemes)
        mapped = {new: schemes[old] for new, old in written.items()}
        if "Linear" in mapped:
            mapped.setdefault(self.row.experts_class, mapped["Linear"])
        try:
            ignored = Patterns.of(_mapped(names, ignored_names(found)))
            targets = Patterns.of({target: target for target in mapped})
        except re.error as error:
            raise found.stop(": an expression is not valid") from error
        _require_kv_scheme(self.row, found)
        return _Lookup(
            self.row, names, ignored, targets, mapped, bool(found.get("transform_config"))
        )


def _require_kv_scheme(row: CompressedRow, found: JsonObject) -> None:
    """Check the KV cache format, which applies to every attention layer."""
    scheme = found.get("kv_cache_scheme")
    if scheme is None:
        return
    values = scheme if isinstance(scheme, dict) else {}
    sized = values.get("type") == "float", values.get("num_bits") == 8
    is_sized = any(sized) if row.takes_half_of_kv_scheme else all(sized)
    if not is_sized or values.get("strategy") not in ("tensor", "attn_head"):
        raise found.stop(" is not supported", "kv_cache_scheme")
    if not values.get("symmetric"):
        raise found.stop(" is not symmetric", "kv_cache_scheme")


def _mapped(names: BoundNames, listed: Any) -> dict[str, str]:  # noqa: ANN401 - any iterable
    """Names with a dot are mapped, expressions and classes are not."""
    found: dict[str, str] = {}
    for name in listed:
        is_path = "." in name and not name.startswith(REGEX_MARK)
        new = names.map(name) if is_path else name
        if new is not None:
            found[new] = name
    return found


def _group(
    row: CompressedRow, found: JsonObject, name: str, group: object
) -> list[tuple[str, Scheme]]:
    """The targets of a group with their schemes.

    Raises:
        StopsError: the class refuses the group.
    """
    at = "config_groups", name
    targets = group.get("targets") if isinstance(group, dict) else None
    if not isinstance(group, dict) or not isinstance(targets, list):
        raise found.stop(" has no targets", *at)
    if not targets or (len(targets) == 1 and str(targets[0]).endswith("Attention")):
        return []  # the rest is not looked at
    weights, inputs = arguments(group.get("weights")), arguments(group.get("input_activations"))
    if weights is None:
        raise found.stop(" has no weights, which it requires", *at)
    for each in (weights, inputs):
        if each is not None and (why := refusal(each)):
            raise found.stop(f" {why}, which it refuses", *at)
    if weights["actorder"] in ("group", "dynamic") and not row.reads_order:
        raise found.stop(" sets actorder, which it no longer supports", *at)
    layout = group.get("format") or found.get("format")
    if inputs is None and layout in _WITH_ACTIVATIONS and weights["type"] != "float":
        raise found.stop(f" has no input_activations, which {layout} requires", *at)
    return schemes_of(targets, weights, inputs, layout)


ROWS: Final = COMPRESSED_ROWS
METHOD: Final[Callable[[CompressedRow], QuantMethod]] = CompressedTensors
