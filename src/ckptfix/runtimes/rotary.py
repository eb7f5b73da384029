"""Rotary settings of config.json that a release's rotary embedding cannot be made of.

The files `<runtime>/rotary.toml` were written by reading the releases. Classes of transformers
refuse more, of the types that they know (`runtimes/config_classes/`).
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import Struct

from ckptfix.checkpoint.model_config import NESTED_CONFIGS, wrappers
from ckptfix.jsontext.text import Path
from ckptfix.runtimes.common.kinds import ABSENT, kind_of
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.rotary_file import RotaryFile
from ckptfix.runtimes.toml_folder import facts_of

_KEYS: Final = ("rope_scaling", "rope_parameters")
"""Keys of rotary settings, the one that counts first."""
_TYPES: Final = ("rope_type", "type")
_CONFIG: Final = "_config"
_THETA: Final = "rope_theta"
_SECTIONS: Final = "mrope_section"
_EVERY: Final = "*"
"""In place of the name of a class, or of a type."""
_LONG: Final = "longrope"
_LISTS: Final = ("short_factor", "long_factor")
_NUMBERS: Final = ("int", "float", "bool")


class Rotary(Struct, frozen=True, eq=False):
    """What a class takes; there is one object for all releases, which are judged once."""

    file: RotaryFile
    architecture: str

    def stop(self, values: Mapping[str, Any]) -> tuple[Path, str] | None:
        """(Path of a value that stops it, kind of that value); None if it takes what is there.

        Args:
            values: config.json.
        """
        found = self._conflict(values) or self._untyped(values)
        if found := found or next(self._of_layers(values), None):
            return found
        for path, part in self._parts(values):
            if found := self._stop(part):
                where, kind = found
                return (*path, *where), kind
        return None

    def _conflict(self, values: Mapping[str, Any]) -> tuple[Path, str] | None:
        """A type that is given twice, under both names, in config.json or a config within it."""
        if self.file.agree is None:
            return None
        within = ((k, v) for k, v in values.items() if k.endswith(_CONFIG) and isinstance(v, dict))
        for path, part in [((), values), *(((key,), part) for key, part in within)]:
            key = next((key for key in _KEYS if part.get(key)), "")
            settings = part.get(key)
            if not isinstance(settings, dict):
                continue
            nested = {k: v for k, v in settings.items() if isinstance(v, dict)}
            each = [((k,), v) for k, v in nested.items()] if nested else [((), settings)]
            for where, one in each:
                if one.keys() >= {*_TYPES} and not self._agree(one):
                    return (*path, key, *where, "type"), "other than rope_type"
        return None

    def _untyped(self, values: Mapping[str, Any]) -> tuple[Path, str] | None:
        for key, _ in NESTED_CONFIGS if self.file.needs_type else ():
            if not isinstance(part := values.get(key), dict):
                continue
            type_ = part.get("model_type", "")
            has_settings = not part.keys().isdisjoint((*_KEYS, _THETA))
            if not isinstance(type_, str) and (type_ is not None or has_settings):
                return (key, "model_type"), kind_of(type_)
        return None

    def _agree(self, settings: Mapping[str, Any]) -> bool:
        types = tuple(settings[name] for name in _TYPES)
        return types[0] == types[1] or types in (self.file.agree or ())

    def _parts(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """(Path, config) of every language model."""
        if self.architecture in (*self.file.architectures, *self.file.of_transformers):
            yield (), values
        if self.architecture not in self.file.wrappers:
            return
        inner = [
            ((*path, key), wrapper[key])
            for path, wrapper in wrappers(values)
            for key, _ in NESTED_CONFIGS
            if isinstance(wrapper.get(key), dict)
        ]
        yield from inner
        if not inner and self.architecture in self.file.all_in_one:
            yield (), values

    def _stop(self, values: Mapping[str, Any]) -> tuple[Path, str] | None:
        key = next((key for key in _KEYS if values.get(key)), "")
        settings = values.get(key)
        if settings and not isinstance(settings, dict):
            return (key,), kind_of(settings)
        if not settings or self._is_nested(settings):
            return None
        elsewhere = self.file.not_read.get(self.architecture, ())
        settings = {k: v for k, v in settings.items() if k not in elsewhere}
        spelled = next((name for name in _TYPES if name in settings), _TYPES[0])
        given = settings.get(spelled, "default")
        made_default = self.file.made_default.get(self.architecture, ())
        is_null = given is None and self.architecture in self.file.default_if_null
        if is_null or given in made_default:
            given = "default"
        type_ = self._made_of(given)
        if type_ is None or type_ not in self._types:
            return (key, spelled), kind_of(given)
        missing = (name for name in self._needs(given, type_) if name not in settings)
        if name := next(missing, ""):
            return (key, name), "missing"
        numbers = (_THETA, *self.file.numbers[type_])
        kinds = ((name, kind_of(settings.get(name, ABSENT))) for name in numbers)
        wrong = (((key, name), kind) for name, kind in kinds if kind not in (*_NUMBERS, "missing"))
        factors = (((key, name), what) for name, what in _factors(values, settings, type_))
        ranges = (((key, name), what) for name, what in self._out_of_range(settings, type_))
        sections = (((key, _SECTIONS), what) for what in self._sections(values, settings, type_))
        return next(chain(wrong, factors, ranges, sections), None)

    def _made_of(self, given: object) -> str | None:
        """The type that the class makes of the one that is given; None of what names none."""
        made = (t for t, classes in self.file.every_type.items() if self.architecture in classes)
        made_of_all = next(made, None)
        if made_of_all and (given is None or isinstance(given, str)):
            return made_of_all if given != "default" or self.file.default_too else "default"
        return self.file.renamed.get(given, given) if isinstance(given, str) else None

    def _needs(self, given: object, type_: str) -> Iterator[str]:
        """Keys that the class cannot do without."""
        for needs in (self.file.needs, self.file.needs_of.get(self.architecture, {})):
            yield from needs.get(str(given), ())
            yield from (
                key for key in needs.get(type_, ()) if given not in self.file.filled.get(key, ())
            )

    def _sections(
        self, values: Mapping[str, Any], settings: Mapping[str, Any], type_: str
    ) -> Iterator[str]:
        given = settings.get(_SECTIONS)
        of_transformers = self.architecture in self.file.of_transformers
        if not given or type_ in self.file.every_type or of_transformers:
            return
        if not isinstance(given, list):
            yield kind_of(given)
            return
        if self.file.three_sections and len(given) != 3:
            yield f"a list of {len(given)}, and it takes three"
        sums = self.file.sections_sum
        of_all = sums.get(_EVERY) if self.architecture in self.file.architectures else None
        needs = sums.get(self.architecture, of_all)
        both = {**values, **settings}
        if needs is None or not both.keys() >= {*needs} or not all(map(_is_number, given)):
            return
        dimensions = _rotary_dimensions(both)
        if dimensions is not None and sum(given) != dimensions // 2:
            yield f"{given}, and half of the rotary dimensions are {dimensions // 2:,}"

    def _out_of_range(self, settings: Mapping[str, Any], type_: str) -> Iterator[tuple[str, str]]:
        file, own = self.file, self.architecture not in self.file.of_transformers
        for of_type in (type_, *((_EVERY,) if own else ())):
            for name, least in file.above.get(of_type, {}).items():
                if _is_number(number := settings.get(name)) and number <= least:
                    yield name, f"{number:,}, which is not above {least:g}"
            for name, most in file.at_most.get(of_type, {}).items():
                if _is_number(number := settings.get(name)) and number > most:
                    yield name, f"{number:,}, which is above {most:g}"
            for name, other in file.no_bools.get(of_type, {}).items():
                if isinstance(given := settings.get(name), bool) and given != settings.get(other):
                    yield name, "bool"
            for name in file.not_zero.get(of_type, ()):
                if _is_number(number := settings.get(name)) and not number:
                    yield name, "0, and it divides by that"

    def _of_layers(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """Settings of a kind of layer that are no object, or of a type that is not known."""
        key = next((key for key in _KEYS if values.get(key)), "")
        settings, layers = values.get(key), values.get("layer_types")
        for kind in self.file.of_layers.get(self.architecture, ()):
            part = settings.get(kind) if isinstance(settings, dict) else None
            if part is None or (isinstance(layers, list) and kind not in layers):
                continue
            if not isinstance(part, dict):
                yield (key, kind), kind_of(part)
                continue
            spelled = next((name for name in _TYPES if name in part), _TYPES[0])
            type_ = part.get(spelled)
            if type_ and (not isinstance(type_, str) or type_ not in self.file.numbers):
                yield (key, kind, spelled), kind_of(type_)

    @property
    def _types(self) -> Collection[str]:
        """All that are known."""
        if self.architecture in self.file.of_transformers:
            return self.file.types_of_transformers
        return self.file.numbers

    def _is_nested(self, settings: Mapping[str, Any]) -> bool:
        """Whether they hold settings for each kind of layer, which classes read in their ways."""
        own = {*_TYPES, *chain.from_iterable(self.file.numbers.values())}
        return any(isinstance(value, dict) for key, value in settings.items() if key not in own)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def rotary_for(runtime: str, version: str, architecture: str) -> Rotary | None:
    """What a release makes of the rotary settings of a class; None if that was not read."""
    known = _rotary(runtime, architecture)
    return known if known and covers(f">={known.file.since}", version) else None


@cache
def _rotary(runtime: str, architecture: str) -> Rotary | None:
    known = _read(runtime)
    return Rotary(known, architecture) if known else None


@cache
def _read(runtime: str) -> RotaryFile | None:
    found = facts_of(runtime).found("rotary.toml")
    return msgspec.convert(found, RotaryFile) if found else None


def _factors(
    values: Mapping[str, Any], settings: Mapping[str, Any], type_: str
) -> Iterator[tuple[str, str]]:
    """Lists of factors that are not as long as there are frequencies."""
    dimensions = _rotary_dimensions({**values, **settings}) if type_ == _LONG else None
    if dimensions is None:
        return
    for name in _LISTS:
        given = settings.get(name)
        if isinstance(given, list) and len(given) != dimensions // 2:
            yield name, f"a list of {len(given):,}, and there are {dimensions // 2:,} frequencies"


def _rotary_dimensions(values: Mapping[str, Any]) -> int | None:
    """How many dimensions of a head are turned; None where that is not known.

    Args:
        values: of a language model's config, with its rotary settings.
    """
    hidden, heads = values.get("hidden_size"), values.get("num_attention_heads")
    head = values.get("qk_rope_head_dim", values.get("head_dim"))
    if head is None and type(hidden) is int and type(heads) is int and heads:
        head = hidden // heads
    factor = values.get("partial_rotary_factor", 1.0)
    return int(head * factor) if _is_number(head) and _is_number(factor) else None
