"""Layouts: which modules a language model consists of, and their sizes by config.json, as data.

`runtimes/layouts/*.toml` were written by reading model classes; each layout lists them. Names are
places below the language model, which the class calls `model`, `language_model.model` and so on.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec import Struct

from ckptfix.checkpoint.dialects.statements import find_at
from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.errors import CkptfixError
from ckptfix.place import Place
from ckptfix.runtimes.layout_spec import BiasSpec, LayerKindsSpec, LayoutSpec, WhenSpec
from ckptfix.runtimes.toml_folder import TomlFolder

_FILES: Final = TomlFolder("layouts")
_REMEMBERED: Final = 10_000
"""Number of names whose sizes are cached."""


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """A regular expression that matches whole names of any of these patterns."""

    def part(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] == "{":
            return f"(?:{'|'.join(map(re.escape, text[1:-1].split(',')))})"
        return {"#": r"\d+", "*": ".*"}.get(text) or re.escape(text)

    split = re.compile(r"\{[^}]*\}|[#*]|[^{#*]+")
    return re.compile("|".join(split.sub(part, pattern) for pattern in patterns) or r"(?!)")


class Layout(Struct, frozen=True, eq=False, dict=True):
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
        """Layer number and name within the layer, for names in one."""
        found = self._layer.fullmatch(name)
        return (int(found[1]), found[2]) if found else None

    def may_hold(self, name: str) -> bool:
        """True unless the class is known not to build a module of this name."""
        return not self.spec.modules or self._modules.fullmatch(name) is not None

    @cached_property
    def _biases(self) -> tuple[tuple[re.Pattern[str], BiasSpec], ...]:
        return tuple((matcher(spec.modules), spec) for spec in self.spec.biases)

    def has_bias(self, name: str, config: ModelConfig) -> bool | None:
        """Whether the class builds a bias for a module of a layer; None if not known."""
        spec = next((s for pattern, s in self._biases if pattern.fullmatch(name)), None)
        if spec is None:
            return None
        if spec.never or not spec.when:
            return not spec.never
        flags = [config.values.get(key) for key in spec.when]
        return any(flags) if any(isinstance(flag, bool) for flag in flags) else None

    def may_be_biased(self, name: str) -> bool:
        """Whether that depends on config.json."""
        spec = next((s for pattern, s in self._biases if pattern.fullmatch(name)), None)
        return spec is not None and bool(spec.when)

    @cached_property
    def _sizes(self) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
        return tuple((matcher([name]), sizes) for name, sizes in self.spec.sizes.items())

    def sizes_of(self, name: str) -> tuple[str, ...]:
        """How config.json defines each dimension of a module's weight; empty if unlisted."""
        known = self._known_sizes.get(name)
        if known is None:
            found = (sizes for pattern, sizes in self._sizes if pattern.fullmatch(name))
            known = next(found, ())
            if len(self._known_sizes) < _REMEMBERED:
                self._known_sizes[name] = known
        return known

    @cached_property
    def _known_sizes(self) -> dict[str, tuple[str, ...]]:
        """For names within a layer, because every layer has the same ones."""
        return {}

    @cached_property
    def _with_weight(self) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
        return tuple((matcher([name]), own) for name, own in self.spec.with_weight.items())

    def parameters_with(self, name: str) -> Iterator[str]:
        """Every parameter that a module of a layer may have in addition to its weight."""
        for names in self.parameters_beside_weight(name):
            yield from names.split("|")
        for pattern, parameters in self._may_have:
            if pattern.fullmatch(name):
                yield from parameters

    @cached_property
    def _may_have(self) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
        return tuple((matcher([name]), roles) for name, roles in self.spec.may_have.items())

    def parameters_beside_weight(self, name: str) -> tuple[str, ...]:
        """Parameters that a module of a layer needs in addition to its weight."""
        return next(
            (parameters for pattern, parameters in self._with_weight if pattern.fullmatch(name)), ()
        )

    @cached_property
    def parameters(self) -> frozenset[str]:
        """Last parts of the names of all that blocks contain, parameters among them."""
        spec = self.spec
        names = chain(
            spec.parameters,
            spec.top_parameters,
            spec.bank_parameters,
            spec.sizes_of_parameters,
            spec.in_every_layer,
            chain.from_iterable(spec.together),
            *(only.names for only in spec.only_if),
            *chain(*(when.beside.values() for when in spec.when), spec.beside.values()),
        )
        return frozenset(name.rpartition(".")[2] for either in names for name in either.split("|"))

    def when_set(self, config: ModelConfig) -> tuple[WhenSpec, ...]:
        """What layers contain according to this config."""
        return tuple(spec for spec in self.spec.when if spec.holds(config.values.get(spec.key)))

    def parameters_when_set(self, name: str, config: ModelConfig) -> Iterator[str]:
        """Parameters that a module needs in addition to its weight according to this config."""
        for spec in self.when_set(config):
            for module, parameters in spec.with_weight.items():
                if matcher([module]).fullmatch(name):
                    yield from parameters

    def kinds_of_layer(self, number: int, config: ModelConfig) -> Iterator[tuple[str, str]]:
        """Why config.json gives a layer its kind, and a module that it must have then."""
        for spec, kinds, declared in self._kinds(config):
            kind = str(kinds[number]) if number < len(kinds) else ""
            if kind in spec.modules:
                yield f"{declared} {kind}", spec.modules[kind]
        dense = self._is_dense(number, config)
        if self.spec.sparse_layers is None or dense is None:
            return
        if dense:
            yield "config.json declares a layer without experts", self.spec.sparse_layers.dense
        else:
            yield "config.json declares a layer with experts", self.spec.sparse_layers.sparse

    def instead_of(self, part: str) -> frozenset[str]:
        """The modules that a layer of another kind has instead of this one."""
        specs = [set(spec.modules.values()) for spec in self.spec.layer_kinds]
        if sparse := self.spec.sparse_layers:
            specs.append({sparse.sparse, sparse.dense})
        return frozenset(module for found in specs if part in found for module in found - {part})

    def excluded_by(self, part: str) -> tuple[str, ...]:
        """How the names of the modules start that a layer with this one never has."""
        specs = (s.modules.values() for s in self.spec.layer_kinds if s.exclusive)
        others = (other for found in specs if part in found for other in found if other != part)
        return tuple(f"{other.rpartition('.')[0]}." for other in others)

    def _kinds(self, config: ModelConfig) -> Iterator[tuple[LayerKindsSpec, Sequence[object], str]]:
        """The list of each key, and what declares it; of those that count, the first."""
        counted = False
        for spec in self.spec.layer_kinds:
            if spec.unless and isinstance(_value_at(spec.unless, config), list):
                continue
            kinds = _every(spec, config) if spec.every else _value_at(spec.key, config)
            if isinstance(kinds, list | str) and not (spec.counts and counted):
                counted = spec.counts or counted
                yield spec, kinds, f"{spec.key} declares"
        if not counted:
            for spec in self.spec.layer_kinds:
                if spec.if_none:
                    yield spec, spec.if_none, f"without {spec.key} its class has"

    def _is_dense(self, number: int, config: ModelConfig) -> bool | None:
        """Whether a layer has no experts; None where config.json does not declare it."""
        spec = self.spec.sparse_layers
        if spec is None or any(config.values.get(key) not in (None, 1) for key in spec.unless):
            return None
        if config.values.get("model_type") in spec.dense_types:
            return True
        if spec.first_dense:
            first = config.number(spec.first_dense)
            return None if first is None else number < first
        if not config.number("num_experts", "num_local_experts"):
            return None
        listed = config.values.get("mlp_only_layers")
        step = config.values.get("decoder_sparse_step", 1)
        if not isinstance(listed, list | None) or not isinstance(step, int) or not step:
            return None
        return number in (listed or ()) or (number + 1) % step != 0

    def number_of_layers(self, config: ModelConfig) -> int | None:
        """The number of layers that config.json declares, or lists; None without layers."""
        if not self.spec.layers:
            return None
        counted = (len(kinds) for spec, kinds, _ in self._kinds(config) if spec.counts)
        return next(counted, config.num_hidden_layers)


def _value_at(key: str, config: ModelConfig) -> object:
    return find_at(config.values, key.split("."))


def _every(spec: LayerKindsSpec, config: ModelConfig) -> list[str]:
    """The kind of every layer, for a key that holds a number."""
    given = _value_at(spec.key, config)
    period = given if isinstance(given, int) and given > 0 else spec.every
    others, last = spec.modules
    layers = range(1, (config.num_hidden_layers or 0) + 1)
    return [others if number % period else last for number in layers]


@cache
def layout_named(name: str) -> Layout:
    """A layout under `runtimes/layouts/`; there is one object for each.

    Raises:
        CkptfixError: its file is not a layout file, or there is none.
    """
    try:
        return Layout(msgspec.convert(_extended(name), LayoutSpec))
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CkptfixError(f"not a layout file: {error}", place=Place(_FILES.name)) from error


def builtin_layouts() -> Mapping[str, Layout]:
    """Every layout under `runtimes/layouts/`, by name.

    Raises:
        CkptfixError: as `layout_named`.
    """
    named = chain.from_iterable(_FILES.parsed(file)["layouts"] for file in _FILES.texts)
    return {name: layout_named(name) for name in named}


def _extended(name: str) -> dict[str, Any]:
    files = _FILES.holding(f"[layouts.{name}]\n")
    if not files:
        raise CkptfixError(f"no layout {name}", place=Place(_FILES.name))
    table = _FILES.parsed(files[-1])["layouts"][name]
    parent = table.get("extends")
    return {**(_extended(parent) if parent else {}), **table}
