"""`CompressedTensorsConfig`.

Source: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/compressed_tensors/
(`compressed_tensors.py`, `utils.py`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
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
    Layer,
    LayerKind,
    NotKnownError,
    QuantMethod,
    Scheme,
    agreed,
    expression,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.sglang.methods.compressed_tensors_layers import layer_of
from ckptfix.runtimes.sglang.methods.compressed_tensors_rows import COMPRESSED_ROWS, CompressedRow
from ckptfix.text import visible

_CLASSES: Final[Mapping[LayerKind, str]] = {
    "linear": "ReplicatedLinear",
    "head": "ParallelLMHead",
    "embedding": "VocabParallelEmbedding",
    "experts": "FusedMoE",
}
"""Classes of layers; for linear ones only the end of the name is compared."""


def _is(text: str, name: str) -> bool:
    if text.startswith(REGEX_MARK):
        return expression(text.removeprefix(REGEX_MARK)).match(name) is not None
    return text == name


def _is_part(text: str, name: str) -> bool:
    """An expression, or any part of the name, in any case."""
    return _is(text, name) if text.startswith(REGEX_MARK) else text.lower() in name.lower()


class _Lookup(Struct, frozen=True):
    row: CompressedRow
    names: BoundNames
    ignored: tuple[str, ...]
    schemes: Mapping[str, Scheme]
    """Target as the release stores it -> its scheme, in the order of the groups."""
    whole_format: object
    doubt: str
    """What was not modelled; empty if nothing."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding" or (kind == "head" and not self.row.quantizes_heads):
            return None
        if kind == "experts":
            return of_experts(name, lambda part: self._scheme(part, "experts"))[0]
        if kind == "head":
            return self._head(name)
        return self._scheme(name, kind)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        if self.doubt:
            raise NotKnownError(self.doubt)
        return layer_of(self.row, scheme.fields, kind, self.whole_format)

    def _head(self, name: str) -> Scheme | None:
        """By name only: the class of a head is not considered."""
        if self._is_ignored(name):
            return None
        target = next((t for t in self.schemes if self._ends_like(t, name)), None)
        if target is None:
            return None
        scheme = self.schemes[target]
        weights: Any = scheme.fields["weights"]
        if weights["block_structure"]:
            raise LookupDisagreementError("it does not support output heads in blocks")
        return scheme

    def _scheme(self, name: str, kind: LayerKind) -> Scheme | None:
        if self._is_ignored(name):
            return None
        if not self.schemes:
            return None
        targets = self.schemes
        target = (
            self._by_name(name)
            or by_class(targets, _CLASSES[kind])
            or by_members(self.names, name, self._by_name)
        )
        if target is None:
            raise LookupDisagreementError(f"no target of the metadata matches {visible(name)}")
        return targets[target]

    def _by_name(self, name: str) -> str | None:
        return next((target for target in self.schemes if _is(target, name)), None)

    def _is_ignored(self, name: str) -> bool:
        members = self.names.members(name)
        if members and name not in self.ignored:
            return agreed(name, [self._listed(member) for member in members])
        return self._listed(name)

    def _listed(self, name: str) -> bool:
        if self.row.ignores_parts:
            return any(_is_part(text, name) for text in self.ignored)
        return any(self._ends_like(text, name) for text in self.ignored)

    @staticmethod
    def _ends_like(text: str, name: str) -> bool:
        """An expression, the name, or a dotted suffix of it."""
        return _is(text, name) or (not text.startswith(REGEX_MARK) and name.endswith(f".{text}"))


class CompressedTensors(Struct, frozen=True):
    """The class of one release."""

    row: CompressedRow
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the protocol
        """As `QuantMethod`."""
        schemes: dict[str, Scheme] = {}
        groups = found.get("config_groups") or {}
        if not isinstance(groups, dict):
            raise found.stop(" is not an object", "config_groups")
        for name, group in groups.items():
            schemes.update(_group(self.row, found, name, group))
        require_no_text(found, "sparsity_config")
        sparse = found.get("sparsity_config")
        is_sparse = isinstance(sparse, dict) and bool(sparse.get("targets"))
        asks = [key for key in ("linear_fp8_config", "transform_config") if found.get(key)]
        doubt = next(iter(asks), "sparsity_config" if is_sparse else "")
        # Expressions and classes are mapped like names.
        mapped = {new: schemes[old] for new, old in names.mapped(schemes).items()}
        if "Linear" in mapped and "FusedMoE" not in mapped:
            mapped |= dict.fromkeys(("FusedMoE", "DeepEPMoE"), mapped["Linear"])
        listed = ignored_names(found)
        cache = found.get("kv_cache_scheme")
        if self.row.reads_cache_scheme and cache is not None and not isinstance(cache, dict):
            raise found.stop(" is not an object", "kv_cache_scheme")
        ignored = tuple(names.mapped(listed))
        _require_valid(found, (*mapped, *ignored))
        return _Lookup(self.row, names, ignored, mapped, found.get("format"), doubt)


def _require_valid(found: JsonObject, texts: Iterable[str]) -> None:
    try:
        for text in texts:
            if text.startswith(REGEX_MARK):
                expression(text.removeprefix(REGEX_MARK))
    except re.error as error:
        raise found.stop(": an expression is not valid") from error


def _group(
    row: CompressedRow, found: JsonObject, name: str, group: object
) -> list[tuple[str, Scheme]]:
    """The targets of a group with what they get.

    Raises:
        StopsError: the class refuses the group.
    """
    at = "config_groups", name
    targets = group.get("targets") if isinstance(group, dict) else None
    targets = list(targets) if isinstance(targets, str) else targets  # as it goes through them
    if not isinstance(group, dict) or not isinstance(targets, list):
        raise found.stop(" has no targets", *at)
    if not targets:
        return []  # the rest is not looked at
    weights = arguments(group.get("weights"))
    if weights is None:
        raise found.stop(" has no weights, which it requires", *at)
    layout = group.get("format") if row.formats_of_groups else None
    reads = (found.get("format") if layout is None else layout) in row.with_activations
    inputs = arguments(group.get("input_activations")) if reads else None
    for each in (weights, inputs):
        if each is not None and (why := refusal(each)):
            raise found.stop(f" {why}, which it refuses", *at)
    if reads and inputs is None and weights["type"] not in row.weight_only:
        raise found.stop(" has weights of a type that it does not support", *at)
    return schemes_of(targets, weights, inputs, layout)


ROWS: Final = COMPRESSED_ROWS
METHOD: Final[Callable[[CompressedRow], QuantMethod]] = CompressedTensors
