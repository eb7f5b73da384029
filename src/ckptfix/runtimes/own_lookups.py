"""What single classes look up otherwise than the names and packed tables of all classes say.

Some look modules up under another name in the metadata of one quantizer: the files
`<runtime>/own_lookups.toml` were written by reading them. Some build modules before a class inside,
as their family says.
"""

import re
from collections.abc import Sequence
from functools import cache

from msgspec import Struct, convert
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.methods import Layer, LayerKind, Lookup, Scheme
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.name_maps import NameMapSpec, RuleSpec, compile_rules
from ckptfix.runtimes.places import shell_patterns
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.toml_folder import facts_of


class OwnPacked(Struct, frozen=True):
    """A lookup in which only the packed tables of the outer class count for some names."""

    every: Lookup
    own: Lookup
    patterns: re.Pattern[str]
    """Of these names."""

    def find(self, name: str, kind: LayerKind) -> Scheme | None:
        """As `Lookup`."""
        return (self.own if self.patterns.match(name) else self.every).find(name, kind)

    def layer(self, scheme: Scheme, kind: LayerKind) -> Layer:
        """As `Lookup`."""
        return self.every.layer(scheme, kind)


def own_names(family: Family, target: Target, outer: str) -> BoundNames | None:
    """What counts while only the outer class is known; None if that makes no difference.

    vLLM binds a class when it builds it (vllm 0.33.0, vllm/model_executor/model_loader/utils.py
    `configure_quant_config`).

    Args:
        family: of the checkpoint.
        target: the release.
        outer: its outer class.
    """
    if not family.spec.with_own_packed:
        return None
    profile = load_profile(target.runtime, target.profile_version)
    return runtime_named(target.runtime).bind_names(profile, [outer])


def with_own_packed(every: Lookup, own: Lookup, family: Family) -> Lookup:
    """A lookup for all names, where another one counts for those that the family lists."""
    return OwnPacked(every, own, shell_patterns(family.spec.with_own_packed))


class OtherName(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[names]]` table: modules that a class looks up under another name with one method."""

    source: str
    """Source: project, version, file."""
    architectures: tuple[str, ...]
    versions: str
    """Releases that it holds for, a PEP 440 specifier."""
    method: str
    """A quant_method."""
    rules: tuple[RuleSpec, ...]
    """Name that is looked up with other metadata -> the one that is looked up with this."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    names: tuple[OtherName, ...] = ()


@cache
def _facts(runtime: str) -> _File:
    return convert(facts_of(runtime).found("own_lookups.toml"), _File)


def other_names(target: Target, outer: str, method: str) -> OtherName | None:
    """What a class of a release looks up otherwise in metadata of this quant_method."""
    return next(
        (
            row
            for row in _facts(target.runtime).names
            if method == row.method
            and outer in row.architectures
            and covers(row.versions, target.profile_version)
        ),
        None,
    )


def placed_as(
    checkpoint: Checkpoint, family: Family, other: OtherName | None
) -> Sequence[RuntimeModule]:
    """The runtime's modules, under the names that are looked up."""
    every = placed(checkpoint, family)
    if other is None:
        return every
    key = "placed as", id(family), id(other)  # facts are never freed
    made_for, modules = checkpoint.table.derived.get(key, (None, ()))
    if made_for is not every:
        mapper = compile_rules(NameMapSpec(other.rules), other.source)
        named = ((module, mapper.map(module.name)) for module in every)
        modules = tuple(replace(m, name=name) if name else m for m, name in named)
        checkpoint.table.derived[key] = every, modules
    found: Sequence[RuntimeModule] = modules
    return found
