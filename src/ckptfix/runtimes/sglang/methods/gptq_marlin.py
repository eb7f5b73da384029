"""`GPTQMarlinConfig`.

Source: sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/gptq/gptq.py and utils.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from ckptfix.runtimes.common.methods import (
    Layer,
    LayerKind,
    NotKnownError,
    QuantMethod,
    Scheme,
    expression,
    overrides,
    require,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.runtimes.sglang.methods.marlin import marlin_group
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

_SUPPORTED: Final = ((4, True), (8, True))
"""(bits, symmetric)."""
_LEAVES: Final = "-:"


class _Row(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads GPTQ."""

    since: str


ROWS: Final = (_Row("0.5.10"),)

_Rules = tuple[tuple[str, UntrustedRegex, Mapping[str, Any] | None], ...]
"""(as written, expression, overrides or None if it leaves what it matches unquantized)."""


class _Lookup(Struct, frozen=True):
    fields: Mapping[str, Any]
    rules: _Rules
    quantizes_head: bool
    place: str

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        if kind == "experts":
            return Scheme(self.fields, self.place)  # rules do not apply to experts
        if kind == "embedding" or (kind == "head" and not self.quantizes_head):
            return None
        rule = next((rule for rule in self.rules if rule[1].match(name)), None)
        if rule is not None and rule[2] is None:
            return None
        fields = dict(self.fields)
        for key, kind_ in (("bits", int), ("group_size", int), ("desc_act", bool), ("sym", bool)):
            value = rule[2].get(key) if rule and rule[2] else None
            if isinstance(value, kind_):
                fields[key] = value
        if (fields["bits"], fields["sym"]) not in _SUPPORTED:
            values = f"bits {fields['bits']} and sym {fields['sym']}"
            raise LookupDisagreementError(
                f"{visible(name)} has {values}, which it does not support"
            )
        return Scheme(fields, rule[0] if rule else self.place)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - the protocol
        bits, size = scheme.fields["bits"], marlin_group(scheme.fields["group_size"])
        if scheme.fields["desc_act"] and size != -1:
            raise NotKnownError("desc_act")
        takes = frozenset({"qweight", "qzeros", "scales"})
        return Layer((f"GPTQ_INT{bits}",), takes, frozenset({"g_idx"}), size)


class GptqMarlin(Struct, frozen=True):
    """The class of one release."""

    row: _Row
    maps_names = False

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> _Lookup:  # noqa: ARG002 - the protocol
        """As `QuantMethod`."""
        fields = {key: require(found, key) for key in ("bits", "group_size", "desc_act", "sym")}
        if (fields["bits"], fields["sym"]) not in _SUPPORTED:
            values = visible(f"bits {fields['bits']} and sym {fields['sym']}")
            raise found.stop(f" has {values}, which it does not support")
        dynamic = overrides(found, "dynamic")
        rules = tuple(_rule(found, text, values) for text, values in dynamic.items())
        return _Lookup(fields, rules, found.get("lm_head") is True, found.place())


def _rule(
    found: JsonObject, text: str, values: object
) -> tuple[str, UntrustedRegex, Mapping[str, Any] | None]:
    leaves = text.startswith(_LEAVES)
    try:
        regex = expression(text.removeprefix(_LEAVES) if leaves else text.removeprefix("+:"))
    except re.error as error:
        raise found.stop(
            f": {visible(text)} is not a valid regular expression", "dynamic"
        ) from error
    return text, regex, None if leaves else values if isinstance(values, dict) else {}


METHOD: Final[Callable[[_Row], QuantMethod]] = GptqMarlin
