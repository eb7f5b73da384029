"""Layouts: which modules a language model consists of, and their sizes by config.json, as data.

`runtimes/layouts/*.toml` were written by reading model classes; every layout says which. Names are
places below the language model, which the class calls `model`, `language_model.model` and so on.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from math import prod
from typing import Any, Final

import msgspec

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.errors import CkptfixError
from ckptfix.place import Place

_FOLDER: Final = "layouts"
_REMEMBERED: Final = 10_000
"""Names whose sizes are remembered."""


class BiasSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the class builds a bias for some modules."""

    modules: tuple[str, ...]
    when: tuple[str, ...] = ()
    """Keys of config.json of which one must be true; empty for always."""
    never: bool = False


class LayerKindsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of config.json that lists the kind of every layer."""

    key: str
    """A dot leads into an object: `sparse_attention_config.sparse_attention_freq`."""
    modules: dict[str, str]
    """Kind -> a module that only layers of that kind have."""
    counts: bool = False
    """The length of the list is the number of layers, whatever num_hidden_layers is."""


class WhenSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Modules that layers have where a key of config.json is set: true, or a number above 0."""

    key: str
    in_every_layer: tuple[str, ...] = ()
    """As in `LayoutSpec`."""
    beside: dict[str, tuple[str, ...]] = {}
    """As in `LayoutSpec`."""


class SparseLayersSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Layers with and without experts.

    The dense ones are those that `mlp_only_layers` and `decoder_sparse_step` leave out, or the
    first ones.
    """

    sparse: str
    """A module that only layers with experts have."""
    dense: str
    """A module that only the others have."""
    first_dense: str = ""
    """Key of config.json: how many layers have no experts, from the first."""
    unless: tuple[str, ...] = ()
    """Keys of config.json that override this if set, in a way that is not known."""


class LayoutSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[layouts.NAME]` table: a language model or a tower.

    In names `#` stands for a number, `{a,b}` for one of several, `*` for any characters.
    """

    source: str
    """Where this was read: project, version, files."""
    extends: str = ""
    """A layout to inherit every key from that is not set here."""
    layers: str = "layers"
    """Name of the list of its layers; empty where it has none."""
    settings: str = ""
    """Key of its own config, of a tower; empty for the language model's."""
    count: str = ""
    """Key there of the number of layers; empty for the language model's."""
    modules: tuple[str, ...] = ()
    """All modules that the class may build; empty if they are not listed."""
    beside_layers: tuple[str, ...] = ()
    """Modules that it always has, as `norm`."""
    top_parameters: tuple[str, ...] = ()
    """Parameters in no module that the checkpoint always has."""
    in_every_layer: tuple[str, ...] = ()
    """Modules and parameters that every layer has; `a|b` where it may have either."""
    together: tuple[tuple[str, ...], ...] = ()
    """Last parts of names, of modules or parameters, of which a block holds all or none; `a|b`
    where it may hold either."""
    beside: dict[str, tuple[str, ...]] = {}
    """Last part of a name -> last parts of what its block has to hold then."""
    when: tuple[WhenSpec, ...] = ()
    experts: tuple[str, ...] = ()
    """Modules of every expert; empty where they are not known."""
    with_weight: dict[str, tuple[str, ...]] = {}
    """Module -> parameters that it has beside its weight; `a|b` where it may have either."""
    biases: tuple[BiasSpec, ...] = ()
    sizes: dict[str, tuple[str, ...]] = {}
    """Module -> size of each dimension of its weight: a sum of products of numbers and keys of the
    config; behind `|` another one, where a key of the first is missing. Where a key of all is
    missing, as `?` always is, the size is not known: config classes differ in what they fill in."""
    layer_kinds: tuple[LayerKindsSpec, ...] = ()
    sparse_layers: SparseLayersSpec | None = None


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """A regular expression that matches whole names of any of these patterns."""

    def part(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] == "{":
            return f"(?:{'|'.join(map(re.escape, text[1:-1].split(',')))})"
        return {"#": r"\d+", "*": ".*"}.get(text) or re.escape(text)

    split = re.compile(r"\{[^}]*\}|[#*]|[^{#*]+")
    return re.compile("|".join(split.sub(part, pattern) for pattern in patterns) or r"(?!)")


@dataclass(frozen=True, eq=False)
class Layout:
    """A layout, ready to use; there is one object per layout."""

    spec: LayoutSpec

    @cached_property
    def _modules(self) -> re.Pattern[str]:
        return matcher(self.spec.modules)

    def config_in(self, config: ModelConfig) -> ModelConfig:
        """The config that sizes and numbers are read from."""
        if not self.spec.settings:
            return config
        own = config.values.get(self.spec.settings)
        values = own if isinstance(own, dict) else {}
        number = values.get(self.spec.count)
        return ModelConfig(
            num_hidden_layers=number if isinstance(number, int) else None, values=values
        )

    @cached_property
    def _layer(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.spec.layers) + r"\.(\d{1,9})\.(.+)")

    def in_layer(self, name: str) -> tuple[int, str] | None:
        """Number of the layer and name in it, for what is in one."""
        found = self._layer.fullmatch(name)
        return (int(found[1]), found[2]) if found else None

    def may_hold(self, name: str) -> bool:
        """True unless the class is known to build no module of this name."""
        return not self.spec.modules or self._modules.fullmatch(name) is not None

    @cached_property
    def _biases(self) -> tuple[tuple[re.Pattern[str], BiasSpec], ...]:
        return tuple((matcher(spec.modules), spec) for spec in self.spec.biases)

    def has_bias(self, name: str, config: ModelConfig) -> bool | None:
        """Whether the class builds a bias for a module of a layer; None where that is not known."""
        spec = next((s for pattern, s in self._biases if pattern.fullmatch(name)), None)
        if spec is None:
            return None
        if spec.never or not spec.when:
            return not spec.never
        flags = [config.values.get(key) for key in spec.when]
        return any(flags) if any(isinstance(flag, bool) for flag in flags) else None

    @cached_property
    def _sizes(self) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
        return tuple((matcher([name]), sizes) for name, sizes in self.spec.sizes.items())

    def sizes_of(self, name: str) -> tuple[str, ...]:
        """How config.json makes each dimension of a module's weight; empty if it is not listed."""
        known = self._known_sizes.get(name)
        if known is None:
            found = (sizes for pattern, sizes in self._sizes if pattern.fullmatch(name))
            known = next(found, ())
            if len(self._known_sizes) < _REMEMBERED:
                self._known_sizes[name] = known
        return known

    @cached_property
    def _known_sizes(self) -> dict[str, tuple[str, ...]]:
        """Of names within a layer: every layer has the same ones."""
        return {}

    @cached_property
    def _with_weight(self) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
        return tuple((matcher([name]), held) for name, held in self.spec.with_weight.items())

    @cached_property
    def parameters(self) -> frozenset[str]:
        """What some module may have beside its weight."""
        held = (name.split("|") for names in self.spec.with_weight.values() for name in names)
        return frozenset(name for names in held for name in names)

    def parameters_beside_weight(self, name: str) -> tuple[str, ...]:
        """Parameters that a module of a layer needs in addition to its weight."""
        return next((held for pattern, held in self._with_weight if pattern.fullmatch(name)), ())

    def when_set(self, config: ModelConfig) -> tuple[WhenSpec, ...]:
        """What layers have because of this config."""
        return tuple(spec for spec in self.spec.when if _is_set(config.values.get(spec.key)))

    def kinds_of_layer(self, number: int, config: ModelConfig) -> Iterator[tuple[str, str]]:
        """Why a layer is of its kind by config.json, and a module that it must have then."""
        counted = False
        for spec in self.spec.layer_kinds:
            kinds = _value_at(spec.key, config)
            if (spec.counts and counted) or not isinstance(kinds, list | str):
                continue
            counted = spec.counts or counted
            kind = str(kinds[number]) if number < len(kinds) else ""
            if kind in spec.modules:
                yield f"{spec.key} declares {kind}", spec.modules[kind]
        dense = self._is_dense(number, config)
        if self.spec.sparse_layers is None or dense is None:
            return
        if dense:
            yield "config.json declares a layer without experts", self.spec.sparse_layers.dense
        else:
            yield "config.json declares a layer with experts", self.spec.sparse_layers.sparse

    def _is_dense(self, number: int, config: ModelConfig) -> bool | None:
        """Whether a layer has no experts; None where config.json does not declare it."""
        spec = self.spec.sparse_layers
        if spec is None or any(config.values.get(key) not in (None, 1) for key in spec.unless):
            return None
        if spec.first_dense:
            first = config.number(spec.first_dense)
            return None if first is None else number < first
        listed, step = config.values.get("mlp_only_layers"), config.number("decoder_sparse_step")
        if not isinstance(listed, list) or not step:
            return None
        return number in listed or (number + 1) % step != 0

    def number_of_layers(self, config: ModelConfig) -> int | None:
        """The number of layers that config.json declares, or lists; None without layers."""
        if not self.spec.layers:
            return None
        listed = (config.values.get(spec.key) for spec in self.spec.layer_kinds if spec.counts)
        counted = (len(kinds) for kinds in listed if isinstance(kinds, list | str))
        return next(counted, config.num_hidden_layers)


def _is_set(value: object) -> bool:
    return value is True or (isinstance(value, int) and value > 0)


def _value_at(key: str, config: ModelConfig) -> object:
    value: object = config.values
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def size_in(text: str, config: ModelConfig) -> int | None:
    """A size computed from config.json; None if a key is missing."""
    found = (_sum(either, config) for either in text.split("|"))
    return next((size for size in found if size is not None), None)


def _sum(text: str, config: ModelConfig) -> int | None:
    terms = [_product(term, config) for term in text.split("+")]
    return None if None in terms else sum(term for term in terms if term is not None)


def _product(text: str, config: ModelConfig) -> int | None:
    factors = [
        int(factor) if factor.isdecimal() else config.number(factor) for factor in text.split("*")
    ]
    return None if None in factors else prod(factor for factor in factors if factor is not None)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    layouts: dict[str, LayoutSpec]


@cache
def builtin_layouts() -> Mapping[str, Layout]:
    """Every layout under `runtimes/layouts/`, by name.

    Raises:
        CkptfixError: a file is not one of layouts.
    """
    found: dict[str, dict[str, Any]] = {}
    folder = files("ckptfix.runtimes") / _FOLDER
    for path in sorted((p for p in folder.iterdir()), key=lambda p: p.name):
        if path.name.endswith(".toml"):
            found |= tomllib.loads(path.read_text("utf-8")).get("layouts", {})
    whole = {name: _extended(name, found) for name in found}
    try:
        specs = msgspec.convert({"layouts": whole}, _File).layouts
    except msgspec.ValidationError as error:
        raise CkptfixError(f"not a layout file: {error}", place=Place(_FOLDER)) from error
    return {name: Layout(spec) for name, spec in specs.items()}


def _extended(name: str, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    table = found[name]
    parent = table.get("extends")
    return {**(_extended(parent, found) if parent else {}), **table}
