"""Families: how a runtime's model classes lay out the modules of a checkpoint, as data.

The files `runtimes/families/*.toml` were written by reading the model classes that each entry
lists. They describe the layout: the name that the runtime looks up in its quantization config when
it builds the module that a tensor ends in. The result of that lookup depends on the lookup rules.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import cache, cached_property
from typing import Any, Final

from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.names import NameMapper
from ckptfix.place import Place
from ckptfix.runtimes.common.rows import bounds, covers
from ckptfix.runtimes.family_files import (
    builtin_family_files,
    family_file,
    files_naming,
    parse_file,
)
from ckptfix.runtimes.family_spec import FamilySpec
from ckptfix.runtimes.layout import Layout, layout_named, matcher
from ckptfix.runtimes.learned.family import LearnedMapper, spec_of
from ckptfix.runtimes.learned.store import Learned, learned
from ckptfix.runtimes.name_maps import NameMapSpec, compile_rules
from ckptfix.runtimes.profile import ConfigMapper
from ckptfix.runtimes.registry import runtime_named


def _matcher(patterns: Sequence[str]) -> re.Pattern[str]:
    # An empty alternation would match the empty string, so it is replaced by one that never
    # matches.
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")


def _is_in_64s(tower: object) -> bool:
    """True unless a size of the tower is known not to be a multiple of 64."""
    sizes = (
        [tower.get(k) for k in ("hidden_size", "intermediate_size")]
        if isinstance(tower, dict)
        else []
    )
    return all(size % 64 == 0 for size in sizes if isinstance(size, int))


class Family(Struct, frozen=True, dict=True):
    """A family entry, ready to use."""

    spec: FamilySpec
    mapper: NameMapper
    """Checkpoint module name -> name looked up in the quantization config, before packing."""
    places: NameMapper
    """Checkpoint module name -> place in the runtime's module tree, before packing."""
    learned: Learned | None = None
    """What was learned about its class, which then decides; None for an entry written by hand."""

    def inner_of(self, nested: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
        """The architectures that the runtime builds inside, outermost first.

        Args:
            nested: ``(prefix, architectures)`` of the language model's own config.
        """
        if self.spec.inner_from_config:
            named = next((tuple(names) for _, names in nested if names), ())
            return named or self.spec.inner
        return self.spec.inner

    @property
    def source(self) -> str:
        """Source of the entry."""
        return self.spec.source

    @cached_property
    def packed_into(self) -> Mapping[str, tuple[str, int]]:
        """Last part of a member's name -> packed module's last part, place among the members."""
        return {
            member: (packed, place)
            for packed, members in self.spec.packed.items()
            for place, member in enumerate(members)
        }

    def added_packed(self, config: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """Entries that the class adds to its packed table while it is built.

        Args:
            config: config.json.
        """
        if self.learned is not None:
            return self.learned.table.packed
        return {
            packed: self.spec.packed[packed]
            for packed, keys in self.spec.adds_packed.items()
            if any(config.get(key) for key in keys)
        }

    @property
    def mappers(self) -> tuple[ConfigMapper, ...] | None:
        """The mappers applied to names in the metadata; None: those of the classes."""
        return self.learned.mappers if self.learned else None

    @cached_property
    def _banks(self) -> re.Pattern[str]:
        names = "|".join(re.escape(bank) for bank in self.spec.banks)
        return re.compile(rf"(?:.*?\.)?(?:{names or '(?!)'})(?=\.|\Z)")

    @cached_property
    def _heads(self) -> re.Pattern[str]:
        return _matcher(self.spec.heads)

    @cached_property
    def _embeddings(self) -> re.Pattern[str]:
        return _matcher(self.spec.embeddings)

    @cached_property
    def _unquantized(self) -> re.Pattern[str]:
        return _matcher(self.spec.unquantized)

    def layout_of(self, architecture: str) -> Layout | None:
        """The layout of an architecture's language model; None if it is not known."""
        name = self.spec.layout_by.get(architecture, self.spec.layout)
        return layout_named(name) if name else None

    @cached_property
    def _outside(self) -> re.Pattern[str] | None:
        return matcher(self.spec.outside) if self.spec.outside else None

    def may_hold_outside(self, place: str) -> bool:
        """True unless the classes build no module there; for places outside `base`."""
        return self._outside is None or self._outside.fullmatch(place) is not None

    @cached_property
    def _untaken(self) -> re.Pattern[str]:
        return _matcher(self.spec.untaken)

    def takes(self, checkpoint_name: str) -> bool:
        """False for a module that the classes are known not to load under this name."""
        return self._untaken.match(checkpoint_name) is None

    def holds_for(self, version: str) -> bool:
        """True for a release that this entry describes."""
        return covers(self.spec.versions, version)

    def bank_of(self, name: str) -> str | None:
        """The expert bank that contains a runtime name; None outside of banks."""
        found = self._banks.match(name)
        return found[0] if found else None

    def is_head(self, name: str) -> bool:
        """True for the runtime name of an output head."""
        return self._heads.match(name) is not None

    def is_embedding(self, name: str) -> bool:
        """True for the runtime name of an embedding."""
        return self._embeddings.match(name) is not None

    def is_never_quantized(self, name: str, config: Mapping[str, Any]) -> bool:
        """True for the runtime name of a module that is built without a quantization config.

        Args:
            name: the runtime name.
            config: config.json.
        """
        if self._unquantized.match(name) is not None:
            return True
        return any(
            patterns.match(name) is not None and not _is_in_64s(config.get(key))
            for key, patterns in self._unless_64.items()
        )

    @cached_property
    def _unless_64(self) -> Mapping[str, re.Pattern[str]]:
        return {key: _matcher(names) for key, names in self.spec.unquantized_unless_64.items()}

    def lacks_scales(self, checkpoint_name: str) -> bool:
        """True for a module of which only weight and bias are loaded."""
        return self._without_scales.match(checkpoint_name) is not None

    @cached_property
    def _without_scales(self) -> re.Pattern[str]:
        return _matcher(self.spec.without_scales)


def _compile(spec: FamilySpec, origin: str) -> Family:
    try:
        bounds(spec.versions)
    except ValueError as error:
        raise CkptfixError(
            f"{spec.versions!r} is not a version specifier", place=Place(origin)
        ) from error
    lookup = compile_rules(NameMapSpec(spec.rules + spec.looked_up), origin)
    return Family(spec, lookup, compile_rules(NameMapSpec(spec.rules), origin))


def parse_families(text: str, origin: str) -> tuple[Family, ...]:
    """Read the families of a TOML text.

    Raises:
        CkptfixError: the text is not TOML or not a family file.
    """
    file = parse_file(text, origin)
    return tuple(_compile(spec, origin) for spec in file.families)


@cache
def _families_in(name: str) -> tuple[Family, ...]:
    """The families of a file; there is one object for each."""
    return tuple(_compile(spec, name) for spec in family_file(name).families)


def builtin_families() -> tuple[Family, ...]:
    """Every family under `runtimes/families/`, in file name order."""
    return tuple(family for name in builtin_family_files() for family in _families_in(name))


@cache
def _written_families(runtime: str, architecture: str) -> tuple[Family, ...]:
    found = (family for name in files_naming(architecture) for family in _families_in(name))
    return tuple(
        family
        for family in found
        if family.spec.runtime == runtime and architecture in family.spec.architectures
    )


def family_for(runtime: str, version: str, architectures: Sequence[str]) -> Family | None:
    """The family of a checkpoint in a release; None if its layout is not known.

    Args:
        runtime: its name, as `vllm`.
        version: a release, PEP 440.
        architectures: `architectures` at the top of config.json; the first known one decides.
    """
    for architecture in architectures:
        if why_unknown(runtime, version, architecture):
            continue
        for family in _written_families(runtime, architecture):
            if family.holds_for(version):
                return family
        known = _learned_family(runtime, version, architecture)
        if known is not None:
            return known
    return None


def _learned_family(runtime: str, version: str, architecture: str) -> Family | None:
    """What was learned about an architecture without an entry."""
    known = learned(runtime, version, architecture)
    if known is None:
        return None
    if id(known) not in _of_learned:  # the family keeps it, so that no other gets its id
        spec = spec_of(known, drops_strays=runtime_named(runtime).drops_strays)
        lookup, places = (LearnedMapper(table=known.names, looked_up=up) for up in (True, False))
        _of_learned[id(known)] = Family(spec, lookup, places, known)
    return _of_learned[id(known)]


_of_learned: Final[dict[int, Family]] = {}


def families_of(architectures: Sequence[str]) -> tuple[Family, ...]:
    """The families of a checkpoint in any known release of any runtime.

    Args:
        architectures: `architectures` at the top of config.json.
    """
    named = set(architectures)
    known = {name for architecture in named for name in files_naming(architecture)}
    families = (family for name in sorted(known) for family in _families_in(name))
    return tuple(family for family in families if named.intersection(family.spec.architectures))


@cache
def why_unknown(runtime: str, version: str, architecture: str) -> str:
    """Why no family describes an architecture in a release; empty if that was not looked at.

    Args:
        runtime: its name, as `vllm`.
        version: a release, PEP 440.
        architecture: an entry of `architectures` in config.json.
    """
    return next(
        (
            spec.reason
            for name in files_naming(architecture)
            for spec in family_file(name).unknown
            if spec.runtime == runtime and architecture in spec.architectures
            if covers(spec.versions, version)
        ),
        "",
    )
