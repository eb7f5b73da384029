"""The names that a release looks up in the metadata, and how it maps the names that are there."""

from functools import cached_property

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.profile_store import known_releases, load_profile
from ckptfix.runtimes.registry import known_runtimes, runtime_named
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.targets import Target

_ANY_CHILD = "\0"
"""The last part of a name below another; no mapper has a rule for it."""


def bound_names(checkpoint: Checkpoint, target: Target, family: Family, outer: str) -> BoundNames:
    """How a release maps the names in the metadata of a checkpoint.

    Args:
        checkpoint: for its config.json.
        target: the release.
        family: of the checkpoint in that release.
        outer: the model class that it builds.
    """
    config = checkpoint.config
    classes = [outer, *family.inner_of(config.nested)]
    profile = load_profile(target.runtime, target.profile_version)
    added = family.added_packed(config.values)
    return runtime_named(target.runtime).bind_names(profile, classes, added_packed=added)


class ReleaseNames(Struct, frozen=True, dict=True):
    """The modules of a checkpoint under the names that one release looks up."""

    names: BoundNames
    modules: tuple[RuntimeModule, ...]

    @cached_property
    def _every(self) -> tuple[str, ...]:
        """Names of modules, and of the members of packed ones."""
        listed = (m.name for m in self.modules)
        return tuple(
            dict.fromkeys(each for name in listed for each in (name, *self.names.members(name)))
        )

    @property
    def every_name(self) -> tuple[str, ...]:
        """Every name that a name in the metadata may be compared with."""
        return self._every

    def below(self, name: str) -> str | None:
        """How the mappers rewrite this name where it is the prefix of a longer one.

        A rule for `model.visual.` matches that, but not `model.visual` itself.
        """
        mapped = self.names.map(f"{name}.{_ANY_CHILD}")
        return mapped.removesuffix(f".{_ANY_CHILD}") if mapped is not None else None

    def meant_by(self, name: str) -> tuple[RuntimeModule, ...]:
        """The modules that a name means or contains, in any spelling that is mapped."""
        roots = {root for root in (self.names.map(name), self.below(name)) if root}
        return tuple(
            module
            for module in self.modules
            if any(
                each == root or each.startswith(f"{root}.")
                for root in roots
                for each in (module.name, *self.names.members(module.name))
            )
        )


def newest_release_names(checkpoint: Checkpoint) -> tuple[ReleaseNames, ...]:
    """The names that the newest release of each runtime looks up, if its classes are known."""
    if "newest release names" not in checkpoint.derived:
        every = (release_names(checkpoint, _newest(runtime)) for runtime in known_runtimes())
        known = tuple(names for names in every if names is not None)
        checkpoint.derived["newest release names"] = known
    made: tuple[ReleaseNames, ...] = checkpoint.derived["newest release names"]
    return made


def release_names(checkpoint: Checkpoint, target: Target) -> ReleaseNames | None:
    """The names that a release looks up; None if its classes are not known."""
    profile = load_profile(target.runtime, target.profile_version)
    try:
        outer = outer_architecture(checkpoint.config, profile)
    except (StopsError, UnregisteredError):
        return None
    family = family_for(target.runtime, target.profile_version, [outer])
    if family is None:
        return None
    return ReleaseNames(bound_names(checkpoint, target, family, outer), placed(checkpoint, family))


def _newest(runtime: str) -> Target:
    version = known_releases(runtime)[-1]
    return Target(runtime, version, version)
