"""`CompressedTensorsConfig`.

Source: vllm 0.33.0, vllm/model_executor/layers/quantization/compressed_tensors/
(`compressed_tensors.py`, `utils.py`, compressed_tensors_moe/).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ckptfix.runtimes.common.compressed import (
    REGEX_MARK,
    arguments,
    by_class,
    by_members,
    of_experts,
    schemes_of,
)
from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    Patterns,
    QuantMethod,
    Scheme,
    agreed,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.vllm.methods.compressed_tensors_layers import layer_of

_CLASSES: Final[Mapping[LayerKind, str]] = {
    "linear": "ReplicatedLinear",
    "head": "ParallelLMHead",
    "embedding": "VocabParallelEmbedding",
    "experts": "RoutedExperts",
}
"""Classes of layers; for linear ones only the end of the name is compared."""
_WITH_ACTIVATIONS: Final = (
    "naive-quantized",
    "int-quantized",
    "float-quantized",
    "nvfp4-pack-quantized",
)
"""Formats whose groups have quantized inputs, declared or not."""


@dataclass(frozen=True)
class _Lookup:
    names: BoundNames
    ignored: Patterns
    targets: Patterns
    schemes: Mapping[str, Scheme]
    """Target as the release holds it -> its scheme."""
    transforms: bool
    """The metadata also declares rotations of weights and inputs."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "experts":
            return of_experts(name, lambda part: self._scheme(part, "experts"))[-1]
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
        return layer_of(scheme.fields, kind)

    def _scheme(self, name: str, kind: LayerKind) -> Scheme | None:
        if self._is_ignored(name):
            return None
        # The order is that of 0.28.0 and later; before, the class came before the members.
        target = (
            self.targets.matching(name)
            or by_members(self.names, name, self.targets.matching)
            or by_class(self.schemes, _CLASSES[kind])
        )
        return None if target is None else self.schemes[target]

    def _is_ignored(self, name: str) -> bool:
        if self.ignored.matching(name) is not None:
            return True
        members = self.names.members(name)
        if not members:
            return False
        return agreed(name, [self.ignored.matching(member) is not None for member in members])


def _is_plain_int(fields: Mapping[str, object]) -> bool:
    weight_only = not fields["act"] and fields["type"] == "int"
    return weight_only and fields["strategy"] in ("channel", "group")


class _CompressedTensors:
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the interface
        schemes: dict[str, Scheme] = {}
        groups = found.get("config_groups") or {}
        if not isinstance(groups, dict):
            raise found.stop(" is not an object", "config_groups")
        for name, group in groups.items():
            schemes.update(_group(found, name, group))
        sparse = found.get("sparsity_config")
        if isinstance(sparse, dict) and sparse.get("targets"):
            raise found.stop(" is no longer supported", "sparsity_config")
        written = _mapped(names, schemes)
        held = {new: schemes[old] for new, old in written.items()}
        if "Linear" in held:
            held.setdefault("RoutedExperts", held["Linear"])
        try:
            ignored = Patterns(_mapped(names, strings(found, "ignore")))
            targets = Patterns({target: target for target in held})
        except re.error as error:
            raise found.stop(": an expression is not valid") from error
        _require_kv_scheme(found)
        return _Lookup(names, ignored, targets, held, bool(found.get("transform_config")))


def _require_kv_scheme(found: JsonObject) -> None:
    """Check the KV cache format, which applies to every attention layer."""
    scheme = found.get("kv_cache_scheme")
    if scheme is None:
        return
    values = scheme if isinstance(scheme, dict) else {}
    sized = (values.get("type"), values.get("num_bits")) == ("float", 8)
    if not sized or values.get("strategy") not in ("tensor", "attn_head"):
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


def _group(found: JsonObject, name: str, group: object) -> list[tuple[str, Scheme]]:
    """The targets of a group with their schemes.

    Raises:
        StopsError: the class refuses the group.
    """
    at = "config_groups", name
    targets = group.get("targets") if isinstance(group, dict) else None
    if not isinstance(group, dict) or not isinstance(targets, list):
        raise found.stop(" has no targets", *at)
    if len(targets) == 1 and str(targets[0]).endswith("Attention"):
        return []
    weights, inputs = arguments(group.get("weights")), arguments(group.get("input_activations"))
    if weights is None:
        raise found.stop(" has no weights, which it requires", *at)
    if weights["actorder"] in ("group", "dynamic"):
        raise found.stop(" sets actorder, which it no longer supports", *at)
    layout = group.get("format") or found.get("format")
    if inputs is None and layout in _WITH_ACTIVATIONS and weights["type"] != "float":
        raise found.stop(f" has no input_activations, which {layout} requires", *at)
    return schemes_of(targets, weights, inputs, layout)


METHOD: Final[QuantMethod] = _CompressedTensors()
