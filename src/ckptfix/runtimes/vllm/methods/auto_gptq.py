"""`AutoGPTQConfig`, before 0.24.0 `GPTQMarlinConfig`, which reads GPTQ.

Source: vllm 0.15.1 to 0.33.0, vllm/model_executor/layers/quantization/auto_gptq.py,
gptq_marlin.py, gptq.py and utils/gptq_utils.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.methods import (
    Doubted,
    Layer,
    LayerKind,
    Lookup,
    NotKnownError,
    QuantMethod,
    Scheme,
    agreed,
    expression,
    overrides,
    parents,
    require,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
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

_SUPPORTED: Final = ((4, True), (8, True))
"""(bits, symmetric)."""
_LEAVES, _OVERRIDES = "-:", "+:"
_OVERRIDDEN: Final = (("bits", int), ("group_size", int), ("sym", bool), ("desc_act", bool))
"""Fields that an expression may set."""


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads GPTQ."""

    since: str
    only_marlin: bool = False
    """There is no other class, for float16 only, that reads what Marlin cannot."""
    reads_order: bool = True
    """It loads an activation order (desc_act); later it stops there."""
    empty_is_all: bool = False
    """A list of no modules, which also a checkpoint without quantized tensors has, quantizes every
    module instead of none."""
    tile: Tile = TILE
    expert_tile: Tile = EXPERT_TILE


_ROW_0_15: Final = _Row("0.15.0")
_ROW_0_24: Final = replace(_ROW_0_15, since="0.24.0", only_marlin=True, tile=NO_TILE)
_ROW_0_28: Final = replace(_ROW_0_24, since="0.28.0", expert_tile=NO_TILE)
_ROW_0_30: Final = replace(_ROW_0_28, since="0.30.0", reads_order=False)
_ROW_0_32: Final = replace(_ROW_0_30, since="0.32.0", empty_is_all=True)
ROWS: Final = (_ROW_0_15, _ROW_0_24, _ROW_0_28, _ROW_0_30, _ROW_0_32)


class _Rule(Struct, frozen=True):
    text: str
    regex: UntrustedRegex
    values: Mapping[str, Any] | None
    """None: the rule leaves what it matches unquantized."""


class _Lookup(Struct, frozen=True):
    row: _Row
    names: BoundNames
    fields: Mapping[str, Any]
    rules: tuple[_Rule, ...]
    listed: tuple[str, ...]
    """Parts of names."""
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
        for key, kind_ in _OVERRIDDEN:
            value = rule.values.get(key) if rule and rule.values else None
            if isinstance(value, kind_):
                fields[key] = value
        if (fields["bits"], fields["sym"]) not in _SUPPORTED:
            values = f"{visible(name)} has bits {fields['bits']} and sym {fields['sym']}"
            raise LookupDisagreementError(f"{values}, which it does not support")
        return Scheme(fields, rule.text if rule else self.place)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        bits, size = scheme.fields["bits"], marlin_group(scheme.fields["group_size"])
        takes, over = {"qweight", "qzeros", "scales"}, {"g_idx"}
        tile = self.row.expert_tile if kind == "experts" else self.row.tile
        if scheme.fields["desc_act"] and size != -1:
            if kind == "experts":
                raise NotKnownError("experts with desc_act")
            takes, over, tile = takes | over, set(), TILE
        return Layer((f"GPTQ_INT{bits}",), frozenset(takes), frozenset(over), size, tile=tile)

    def _is_listed(self, name: str) -> bool:
        if not self.listed:
            return self.row.empty_is_all
        members = self.names.members(name)
        if members:
            return agreed(name, [any(each in m for each in self.listed) for m in members])
        return any(each in name for each in self.listed)


class AutoGptq(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = True

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        """As `QuantMethod`."""
        keys = ("bits", "group_size", "desc_act", "sym")
        fields = {key: require(found, key) for key in keys}
        dynamic = overrides(found, "dynamic")
        if not self.row.reads_order:
            self._refuse_order(found, fields, dynamic)
        if (fields["bits"], fields["sym"]) not in _SUPPORTED:
            values = f"bits {fields['bits']} and sym {fields['sym']}"
            if not self.row.only_marlin and "BF16" not in dtypes.values():
                return Doubted(f"GPTQ with {values}")
            raise found.stop(f" has {visible(values)}, which it does not support")
        # A missing list is made from the tensors: all modules with a quantized one.
        listed = _flat(found.get("modules_in_block_to_quantize"))
        listed = listed or list(parents(dtypes, quantized=True))
        return _Lookup(
            self.row,
            names,
            fields,
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
        problem = f": {visible(text)} is not a valid regular expression"
        raise found.stop(problem, "dynamic") from error
    return _Rule(text, regex, None if leaves else values if isinstance(values, dict) else {})


def _flat(listed: object) -> list[str]:
    if isinstance(listed, list):
        return [name for item in listed for name in _flat(item)]
    return [listed] if isinstance(listed, str) else []


METHOD: Final[Callable[[_Row], QuantMethod]] = AutoGptq
