"""`CompressedTensorsConfig`.

Source: sglang 0.5.23, sglang/srt/layers/quantization/compressed_tensors/ (`compressed_tensors.py`,
`utils.py`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ckptfix.runtimes.common.compressed import arguments, same
from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    QuantMethod,
    Scheme,
    agreed,
    expression,
    strings,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import Held, StopsError
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.sglang.methods.compressed_tensors_layers import layer_of
from ckptfix.text import visible

_CLASSES: Final[Mapping[LayerKind, str]] = {
    "linear": "ReplicatedLinear",
    "head": "ParallelLMHead",
    "embedding": "VocabParallelEmbedding",
    "experts": "FusedMoE",
}
"""Classes of layers; of linear ones only the end of the name is looked at here."""
_WITH_ACTIVATIONS: Final = (
    "naive-quantized",
    "int-quantized",
    "float-quantized",
    "nvfp4-pack-quantized",
    "pack-quantized",
)
"""Formats of groups whose input_activations are read."""
_EXPERT_PARTS: Final = ("gate_proj", "up_proj", "down_proj")
_RE: Final = "re:"


def _is(text: str, name: str) -> bool:
    if text.startswith(_RE):
        return expression(text.removeprefix(_RE)).match(name) is not None
    return text == name


@dataclass(frozen=True)
class _Lookup:
    names: BoundNames
    ignored: tuple[str, ...]
    schemes: Mapping[str, Scheme]
    """Target as the release holds it -> its scheme, in the order of the groups."""
    whole_format: object
    doubt: str
    """What nobody followed; empty where there is nothing."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding":
            return None
        if kind == "experts":
            return self._experts(name)
        if kind == "head":
            return self._head(name)
        return self._scheme(name, kind)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        if self.doubt:
            raise NotKnownError(self.doubt)
        return layer_of(scheme.fields, kind, self.whole_format)

    def _experts(self, name: str) -> Scheme | None:
        found = [self._scheme(f"{name}.0.{part}", "experts") for part in _EXPERT_PARTS]
        if any(same(scheme) != same(found[0]) for scheme in found):
            raise LookupDisagreementError(f"experts of {visible(name)} have different schemes")
        return found[0]

    def _head(self, name: str) -> Scheme | None:
        """By name only: the class of a head is not asked for."""
        if self._is_ignored(name):
            return None
        target = next((t for t in self.schemes if self._ends_like(t, name)), None)
        if target is None:
            return None
        scheme = self.schemes[target]
        weights: Any = scheme.fields["weights"]
        if weights["block_structure"]:
            raise LookupDisagreementError("it supports no head in blocks")
        return scheme

    def _scheme(self, name: str, kind: LayerKind) -> Scheme | None:
        if self._is_ignored(name):
            return None
        if not self.schemes:
            return None
        targets = self.schemes
        target = next((t for t in targets if _is(t, name)), None)
        target = target or self._by_class(kind) or self._by_members(name)
        if target is None:
            raise LookupDisagreementError(f"no target of the metadata matches {visible(name)}")
        return targets[target]

    def _is_ignored(self, name: str) -> bool:
        members = self.names.members(name)
        if members and name not in self.ignored:
            return agreed(name, [self._listed(member) for member in members])
        return self._listed(name)

    def _listed(self, name: str) -> bool:
        return any(self._ends_like(text, name) for text in self.ignored)

    @staticmethod
    def _ends_like(text: str, name: str) -> bool:
        """An expression, the name, or the dotted end of it."""
        return _is(text, name) or (not text.startswith(_RE) and name.endswith(f".{text}"))

    def _by_class(self, kind: LayerKind) -> str | None:
        name_of_class = _CLASSES[kind]
        for target in self.schemes:
            if target.startswith(_RE):
                if _is(target, name_of_class):
                    return target
            elif target.lower() in name_of_class.lower():
                return target
        return None

    def _by_members(self, name: str) -> str | None:
        """The target of the first member, where every member has one."""
        fused = next((key for key in self.names.packed if name.endswith(key)), None)
        if fused is None:
            return None
        parts = [name.replace(fused, member) for member in self.names.packed[fused]]
        found = [next((t for t in self.schemes if _is(t, part)), None) for part in parts]
        return found[0] if found and all(found) else None


class _CompressedTensors:
    maps_names = True

    def bind(self, found: Held, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - alike
        schemes: dict[str, Scheme] = {}
        groups = found.get("config_groups") or {}
        if not isinstance(groups, dict):
            raise StopsError(f"stops: {found.place('config_groups')} is no object")
        for name, group in groups.items():
            schemes.update(_group(found, name, group))
        sparse = found.get("sparsity_config")
        is_sparse = isinstance(sparse, dict) and bool(sparse.get("targets"))
        asks = [key for key in ("linear_fp8_config", "transform_config") if found.get(key)]
        doubt = next(iter(asks), "sparsity_config" if is_sparse else "")
        # Expressions and classes are mapped like names.
        held = {new: schemes[old] for new, old in names.mapped(schemes).items()}
        if "Linear" in held and "FusedMoE" not in held:
            held |= dict.fromkeys(("FusedMoE", "DeepEPMoE"), held["Linear"])
        ignored = tuple(names.mapped(strings(found, "ignore")))
        _require_valid(found, (*held, *ignored))
        return _Lookup(names, ignored, held, found.get("format"), doubt)


def _require_valid(found: Held, texts: Iterable[str]) -> None:
    try:
        for text in texts:
            if text.startswith(_RE):
                expression(text.removeprefix(_RE))
    except re.error as error:
        raise StopsError(f"stops: {found.place()}: an expression is not valid") from error


def _group(found: Held, name: str, group: object) -> list[tuple[str, Scheme]]:
    """The targets of a group with what they get.

    Raises:
        StopsError: the class refuses the group.
    """
    place = f"{found.place('config_groups')}/{visible(name)}"
    targets = group.get("targets") if isinstance(group, dict) else None
    if not isinstance(group, dict) or not isinstance(targets, list):
        raise StopsError(f"stops: {place} has no targets")
    weights = arguments(group.get("weights"))
    if weights is None:
        raise StopsError(f"stops: {place} has no weights, which it requires")
    layout = group.get("format")
    reads = (found.get("format") if layout is None else layout) in _WITH_ACTIVATIONS
    inputs = arguments(group.get("input_activations")) if reads else None
    if reads and inputs is None and weights["type"] not in ("int", "float"):
        raise StopsError(f"stops: {place} has weights of a type that it does not support")
    fields = {
        "bits": weights["num_bits"],
        "type": weights["type"],
        "strategy": weights["strategy"],
        "act": inputs is not None,
        "weights": weights,
        "inputs": inputs,
        "format": layout,
    }
    return [(str(target), Scheme(fields, str(target))) for target in targets]


METHOD: Final[QuantMethod] = _CompressedTensors()
