"""How a release looks modules up in the metadata of quantizers other than ModelOpt.

A runtime has one file for each class that reads such metadata, in its folder `methods`; the file
declares `METHOD`. This file has what several of these classes share.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.patterns import LookupDisagreementError
from ckptfix.text import visible
from ckptfix.untrusted_regex import UntrustedRegex

LayerKind = Literal["linear", "head", "embedding", "experts"]
"""Type of the layer that looks up its scheme; the type decides as much as the name."""


class Scheme(Struct, frozen=True):
    """What a release finds for a module that it quantizes."""

    fields: Mapping[str, object]
    """The fields of the scheme: `bits`, `group_size`, and so on."""
    decided_by: str
    """The name, pattern or field of the metadata that decides, as written."""


class Layer(Struct, frozen=True):
    """What a release builds for a scheme."""

    formats: tuple[str, ...]
    """The stored formats that the layer loads."""
    takes: frozenset[str]
    """Roles of its parameters."""
    passes_over: frozenset[str] = frozenset()
    """Roles of tensors for which it has no parameter and that it silently skips."""
    group_size: int | None = None
    """Input columns per scale, -1 for all; None if the format alone decides."""
    merged_rows: int = 0
    """The number of rows of every member of a packed module, except the last, is a multiple of
    this."""
    column_scales: bool = False
    """The scales of rows are a column, `[out, 1]`; it stops at `[out]`."""
    tile: tuple[int, int] = (1, 1)
    """The kernel takes multiples of these rows and columns; what another one does was not read."""


UNQUANTIZED_LAYER: Final = Layer((), frozenset({"weight"}))


class NotKnownError(Exception):
    """It is not known what the class builds for a scheme; the message is the scheme."""


class Lookup(Protocol):
    """The metadata as a config class of a release stores it, ready for lookups."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        """The scheme of a layer; None if the release builds it unquantized.

        Raises:
            LookupDisagreementError: the release raises.
        """

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        """What the release builds for it.

        Raises:
            LookupDisagreementError: the release raises.
            NotKnownError: that is not known.
        """


class Doubted(Struct, frozen=True):
    """A lookup of which it is not known what is built for its results."""

    why: str
    lookup: Lookup | None = None
    """None if its results are not known either."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        """As `Lookup`."""
        return self.lookup.find(name, kind) if self.lookup else Scheme({}, "")

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:  # noqa: ARG002 - as `Lookup`
        """As `Lookup`; always raises."""
        raise NotKnownError(self.why)


NO_TENSORS: Final[Mapping[str, str]] = MappingProxyType({})


class QuantMethod(Protocol):
    """One config class of a runtime."""

    @property
    def maps_names(self) -> bool:
        """True if the mappers of the model classes are applied to the names in the metadata."""

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        """Read the metadata.

        Args:
            found: the object that the class reads.
            names: how names are mapped, and packed tables.
            dtypes: name of each tensor -> dtype, as safetensors writes it: some classes look there
                for what the metadata omits.

        Raises:
            StopsError: the class rejects the metadata.
        """


def agreed(name: str, answers: Sequence[bool]) -> bool:
    """The common value for all members of a packed module.

    Raises:
        LookupDisagreementError: they differ.
    """
    if len(set(answers)) > 1:
        raise LookupDisagreementError(f"some but not all members of {visible(name)} are quantized")
    return answers[0]


@lru_cache(maxsize=4096)
def expression(text: str) -> UntrustedRegex:
    """A compiled expression.

    Raises:
        re.error: it is not valid.
    """
    return UntrustedRegex(text)


class Patterns(Struct, frozen=True):
    """Names, and regular expressions after `re:`, which match from the start of a name."""

    mapped: Mapping[str, str]
    """As the release stores it -> as written in the metadata, in its order."""
    regexes: tuple[tuple[str, UntrustedRegex], ...]

    @classmethod
    def of(cls, mapped: Mapping[str, str]) -> "Patterns":
        """The patterns of a list.

        Raises:
            re.error: an expression is not valid.
        """
        marked = [text for text in mapped if text.startswith("re:")]
        return cls(mapped, tuple((text, expression(text.removeprefix("re:"))) for text in marked))

    def matching(self, name: str) -> str | None:
        """The first that equals or matches the name, as the release stores it."""
        if not self.regexes:
            return name if name in self.mapped and not name.startswith("re:") else None
        regexes = (text for text, regex in self.regexes if regex.match(name))
        first = next(regexes, None)
        if first is None or name not in self.mapped:
            return first if first is not None else (name if name in self.mapped else None)
        order = list(self.mapped)
        return min(first, name, key=order.index)


def exclude_patterns(found: JsonObject, mapped: Mapping[str, str]) -> Patterns:
    """The patterns of its `exclude`, as the release stores them -> as written.

    Raises:
        StopsError: an expression is not valid.
    """
    try:
        return Patterns.of(mapped)
    except re.error as error:
        why = f" has a regular expression that is not valid: {error}"
        raise found.stop(why, "exclude") from error


def require(found: JsonObject, *keys: str) -> Any:  # noqa: ANN401 - JSON
    """The value of the first of these keys that is present.

    Raises:
        StopsError: none of them is.
    """
    for key in keys:
        if key in found:
            return found.get(key)
    raise found.stop(f" has no {' or '.join(keys)}, which it requires")


def overrides(found: JsonObject, key: str) -> Mapping[str, Any]:
    """The object under a key, whose items the runtime reads; absent and null have none.

    Raises:
        StopsError: it is something else, an empty list or false too, which have no items.
    """
    value = found.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise found.stop(" is not an object", key)
    return value


def number(value: object) -> int | None:
    """A whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def strings(found: JsonObject, key: str) -> list[str]:
    """A list of strings; null or absent is empty.

    Raises:
        StopsError: it is something else, so the release fails while iterating over it.
    """
    value = found.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise found.stop(" is not a list of strings", key)
    return value


FLOAT_DTYPES: Final = frozenset({"F16", "BF16", "F32"})


def parents(dtypes: Mapping[str, str], *, quantized: bool) -> dict[str, None]:
    """Names of modules, in order: all, or those with a tensor that is not a plain float."""
    named = (n for n, dtype in dtypes.items() if not quantized or dtype not in FLOAT_DTYPES)
    return dict.fromkeys(name.rpartition(".")[0] or name for name in named)


MatchMode = Literal["exact", "substring", "suffix"]


class SkippedLayers(Struct, frozen=True):
    """A list of layers that are left unquantized, as vLLM's `is_layer_skipped` applies it.

    Source: vllm 0.33.0, vllm/model_executor/layers/quantization/utils/quant_utils.py.
    """

    names: BoundNames
    listed: Mapping[str, str]
    """As the release stores it -> as written in the metadata."""
    mode: MatchMode
    listed_packed: bool = True
    """A packed name that is listed itself counts before its members (since 0.24.0)."""

    def skips(self, name: str, *, packed: bool = True) -> bool:
        """True where a layer is left unquantized.

        Args:
            name: its name.
            packed: whether the caller passes its packed table.

        Raises:
            LookupDisagreementError: members of a packed layer differ.
        """
        members = self.names.members(name) if packed else ()
        if members:
            if self.listed_packed and self._matches(name):
                return True
            return agreed(name, [self._matches(member) for member in members])
        if "experts" in name and self.mode == "exact":
            return any(name in listed for listed in self.listed if "experts" in listed)
        return self._matches(name)

    def _matches(self, name: str) -> bool:
        match self.mode:
            case "exact":
                return name in self.listed
            case "substring":
                return any(listed in name for listed in self.listed)
            case "suffix":
                return any(name == each or name.endswith(f".{each}") for each in self.listed)
