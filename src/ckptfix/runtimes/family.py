"""Families: how a runtime's model classes lay out the modules of a checkpoint, as data.

The layout has the name that the runtime looks up in its quantization config when it builds the
module that a tensor ends in. It was learned from the classes (`<runtime>/learned/`). The files
`runtimes/families/*.toml` were written by reading them: each entry adds what cannot be learned,
which may be the layout too. The result of that lookup depends on the lookup rules.
"""

import re
from collections.abc import Mapping, Sequence
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
from ckptfix.runtimes.learned.family import spec_of
from ckptfix.runtimes.learned.places import TablePlaces
from ckptfix.runtimes.learned.store import Learned, learned, learned_releases
from ckptfix.runtimes.name_maps import NameMapSpec, RuleSpec, compile_rules
from ckptfix.runtimes.places import Places, WrittenPlaces, shell_patterns
from ckptfix.runtimes.profile import ConfigMapper
from ckptfix.runtimes.registry import known_runtimes, runtime_named


class Family(Struct, frozen=True, dict=True):
    """A family entry, ready to use."""

    spec: FamilySpec
    modules: Places
    """Where modules go, and what they are looked up as."""
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
    def mapper(self) -> NameMapper:
        """Checkpoint module name -> name looked up in the quantization config, before packing."""
        return self.modules.looked_up

    @cached_property
    def places(self) -> NameMapper:
        """Checkpoint module name -> place in the runtime's module tree, before packing."""
        return self.modules.places

    def added_packed(self, config: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """Entries that the class adds to its packed table while it is built.

        Args:
            config: config.json.
        """
        if self.learned is not None:
            return self.learned.table.packed
        return {
            packed: self.modules.members(packed)
            for packed, keys in self.spec.adds_packed.items()
            if any(config.get(key) for key in keys)
        }

    @property
    def mappers(self) -> tuple[ConfigMapper, ...] | None:
        """The mappers applied to names in the metadata; None: those of the classes."""
        return self.learned.mappers if self.learned else None

    @property
    def loads_kv_scales(self) -> bool:
        """Whether `k_scale` and `v_scale` of a checkpoint are loaded."""
        written = self.spec.kv_scales
        return self.modules.loads_kv_scales if written is None else written

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
        return shell_patterns(self.spec.untaken)

    def takes(self, checkpoint_name: str) -> bool:
        """False for a module that the classes are known not to load under this name."""
        return self._untaken.match(checkpoint_name) is None

    def holds_for(self, version: str) -> bool:
        """True for a release that this entry describes."""
        return covers(self.spec.versions, version)

    def takes_fused_experts(self, version: str) -> bool | None:
        """Whether a release loads experts stored as one tensor for each projection, if known."""
        releases = self.spec.fused_experts
        return None if releases is None else releases != "none" and covers(releases, version)

    def lacks_scales(self, checkpoint_name: str) -> bool:
        """True for a module of which only weight and bias are loaded."""
        return self._without_scales.match(checkpoint_name) is not None

    def is_dequantized(self, checkpoint_name: str) -> bool:
        """True for a module that the loader dequantizes if it is stored in blocks of FP8."""
        return self._dequantized.match(checkpoint_name) is not None

    @cached_property
    def _dequantized(self) -> re.Pattern[str]:
        return shell_patterns(self.spec.dequantized)

    @cached_property
    def _without_scales(self) -> re.Pattern[str]:
        return shell_patterns(self.spec.without_scales)


def _compile(spec: FamilySpec, origin: str, architecture: str) -> Family:
    try:
        bounds(spec.versions)
    except ValueError as error:
        raise CkptfixError(
            f"{spec.versions!r} is not a version specifier", place=Place(origin)
        ) from error
    skipped = (RuleSpec(kind="prefix", old=part, drop=True) for part in spec.skips)
    before = compile_rules(NameMapSpec((*skipped, *spec.spellings)), origin)
    if spec.places is not None:
        written = WrittenPlaces(spec.places, before, origin)
        _ = written.looked_up, written.places  # whose rules may be wrong
        return Family(spec, written)
    known = newest_learned(spec.runtime, spec.versions, architecture)
    if known is None:
        raise CkptfixError(
            f"where {architecture} puts modules was not learned", place=Place(origin)
        )
    return Family(spec, TablePlaces(known.names, before))


def newest_learned(runtime: str, versions: str, architecture: str) -> Learned | None:
    """What was learned in the newest of these releases that was; None if nothing was.

    Args:
        runtime: its name, as `vllm`.
        versions: a PEP 440 specifier; empty for all.
        architecture: an entry of `architectures` in config.json.
    """
    releases = [known for known in learned_releases(runtime) if covers(versions, known)]
    return learned(runtime, releases[-1], architecture) if releases else None


def parse_families(text: str, origin: str) -> tuple[Family, ...]:
    """Read the families of a TOML text, as those of the first architecture that each names.

    Raises:
        CkptfixError: the text is not TOML or not a family file.
    """
    file = parse_file(text, origin)
    return tuple(_compile(spec, origin, spec.architectures[0]) for spec in file.families)


@cache
def families_named(runtime: str, architecture: str) -> tuple[Family, ...]:
    """The families of the entries for an architecture; there is one object for each."""
    return tuple(
        _compile(spec, name, architecture)
        for name in files_naming(architecture)
        for spec in family_file(name).families
        if spec.runtime == runtime and architecture in spec.architectures
    )


def builtin_families() -> tuple[Family, ...]:
    """Every family under `runtimes/families/`: one for each entry and architecture."""
    specs = [spec for file in builtin_family_files().values() for spec in file.families]
    named = dict.fromkeys((spec.runtime, name) for spec in specs for name in spec.architectures)
    return tuple(family for which in named for family in families_named(*which))


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
        for family in families_named(runtime, architecture):
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
        _of_learned[id(known)] = Family(spec, TablePlaces(known.names), known)
    return _of_learned[id(known)]


_of_learned: Final[dict[int, Family]] = {}


def families_of(architectures: Sequence[str]) -> tuple[Family, ...]:
    """The families of a checkpoint in any known release of any runtime.

    Args:
        architectures: `architectures` at the top of config.json.
    """
    return tuple(
        family
        for runtime in known_runtimes()
        for architecture in architectures
        for family in families_named(runtime, architecture)
    )


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
