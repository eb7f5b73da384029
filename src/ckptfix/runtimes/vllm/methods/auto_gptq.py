"""`AutoGPTQConfig`, which reads GPTQ.

Source: vllm 0.33.0, vllm/model_executor/layers/quantization/auto_gptq.py and utils/gptq_utils.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    QuantMethod,
    Scheme,
    agreed,
    expression,
    parents,
    require,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.vllm.methods.marlin import marlin_group
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

_SUPPORTED: Final = ((4, True), (8, True))
"""(bits, symmetric)."""
_LEAVES, _OVERRIDES = "-:", "+:"


@dataclass(frozen=True)
class _Rule:
    text: str
    regex: UntrustedRegex
    values: Mapping[str, Any] | None
    """None: the rule leaves what it matches unquantized."""


@dataclass(frozen=True)
class _Lookup:
    names: BoundNames
    fields: Mapping[str, Any]
    rules: tuple[_Rule, ...]
    listed: tuple[str, ...]
    """Parts of names; empty: everything is quantized."""
    quantizes_head: bool
    place: str

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "embedding" or (kind == "head" and not self.quantizes_head):
            return None
        # Experts are not looked up in the list of modules.
        is_listed = kind == "experts" or self._is_listed(name)
        rule = next((rule for rule in self.rules if rule.regex.match(name)), None)
        if not is_listed or (rule is not None and rule.values is None):
            return None
        fields = dict(self.fields)
        for key, kind_ in (("bits", int), ("group_size", int), ("sym", bool)):
            value = rule.values.get(key) if rule and rule.values else None
            if isinstance(value, kind_):
                fields[key] = value
        if (fields["bits"], fields["sym"]) not in _SUPPORTED:
            values = f"{visible(name)} has bits {fields['bits']} and sym {fields['sym']}"
            raise LookupDisagreementError(f"{values}, which it does not support")
        return Scheme(fields, rule.text if rule else self.place)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the interface
        bits, size = scheme.fields["bits"], marlin_group(scheme.fields["group_size"])
        takes = frozenset({"qweight", "qzeros", "scales"})
        return Layer((f"GPTQ_INT{bits}",), takes, frozenset({"g_idx"}), size)

    def _is_listed(self, name: str) -> bool:
        if not self.listed:
            return True
        members = self.names.members(name)
        if members:
            return agreed(name, [any(each in m for each in self.listed) for m in members])
        return any(each in name for each in self.listed)


class _AutoGptq:
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:
        keys = ("bits", "group_size", "desc_act", "sym")
        fields = {key: require(found, key) for key in keys}
        dynamic = found.get("dynamic") or {}
        if not isinstance(dynamic, dict):
            raise found.stop(" is not an object", "dynamic")
        self._refuse_order(found, fields, dynamic)
        if (fields["bits"], fields["sym"]) not in _SUPPORTED:
            values = f"bits {fields['bits']} and sym {fields['sym']}"
            raise found.stop(f" has {visible(values)}, which it does not support")
        # A missing list is made from the tensors: all modules with a quantized one.
        listed = _flat(found.get("modules_in_block_to_quantize"))
        listed = listed or list(parents(dtypes, quantized=True))
        return _Lookup(
            names,
            {key: fields[key] for key in ("bits", "group_size", "sym")},
            tuple(_rule(found, text, values) for text, values in dynamic.items()),
            tuple(names.mapped(listed)),
            found.get("lm_head") is True,
            found.place(),
        )

    def _refuse_order(
        self, found: JsonObject, fields: Mapping[str, Any], dynamic: Mapping[str, Any]
    ) -> None:
        """desc_act, except where one group makes it meaningless."""
        rules = [v for t, v in dynamic.items() if not t.startswith(_LEAVES)]
        for values in (fields, *(v for v in rules if isinstance(v, dict))):
            whole = {**fields, **values}
            if whole["desc_act"] and whole["group_size"] != -1:
                raise found.stop(" sets desc_act, which it no longer supports")


def _rule(found: JsonObject, text: str, values: object) -> _Rule:
    leaves = text.startswith(_LEAVES)
    pattern = text.removeprefix(_LEAVES) if leaves else text.removeprefix(_OVERRIDES)
    try:
        regex = expression(pattern)
    except re.error as error:
        told = f": {visible(text)} is not a valid regular expression"
        raise found.stop(told, "dynamic") from error
    return _Rule(text, regex, None if leaves else values if isinstance(values, dict) else {})


def _flat(listed: object) -> list[str]:
    if isinstance(listed, list):
        return [name for item in listed for name in _flat(item)]
    return [listed] if isinstance(listed, str) else []


METHOD: Final[QuantMethod] = _AutoGptq()
