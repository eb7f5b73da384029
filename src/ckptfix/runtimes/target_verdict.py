"""The verdict on a checkpoint in one release."""

from functools import cached_property

from msgspec import Struct

from ckptfix.place import Place
from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.loads import Loads, Reason, no, unknown, yes
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.targets import Target


class TargetVerdict(Struct, frozen=True, dict=True):
    """All modules in one release."""

    target: Target
    unknown_because: str = ""
    """Why there is no verdict; empty if there is one, or a refusal."""
    modules: tuple[ModuleVerdict, ...] = ()
    unregistered: bool = False
    """The release does not register the architecture."""
    refusal: Reason | None = None
    """Why the release stops before it builds a layer."""
    at: Place | None = None
    """The value at which it does."""
    faults: tuple[Reason, ...] = ()
    """Tensors for which the release has no module, and modules that no tensor fills."""
    metadata: EffectiveMetadata | None = None
    """The metadata that the release uses, if it got that far."""
    bound: BoundMetadata | None = None
    """The same, mapped and indexed as the release does it."""
    names: BoundNames | None = None
    """How it maps the names in metadata of another quantizer than ModelOpt."""
    options: tuple[str, ...] = ()
    """What the server has to be told so that it loads the modules as they are stored."""
    is_of_other_format: bool = False
    """The release reads another format than that of the tensors that findings are about."""
    notes: tuple[str, ...] = ()
    """How an installed runtime was queried, and where its profile gives a different answer."""

    @property
    def problem(self) -> str:
        """Why there are no verdicts for modules; empty if there are."""
        return self.refusal.text if self.refusal else self.unknown_because

    @property
    def refused(self) -> bool:
        """True when the release stops before it builds a layer."""
        return self.refusal is not None

    @cached_property
    def loads(self) -> Loads:
        """Whether the release loads the checkpoint as it is stored; every output uses this."""
        if self.refusal:
            return no([self.refusal])
        if self.unknown_because:
            return unknown(self.unknown_because)
        if not self.wrong:
            return no(self.faults) if self.faults else yes(self.options)
        modules = [Reason(m.reason, m.effect, m.label) for m in self.wrong]
        return no([*modules, *self.faults], self.wrong_in_short)

    @property
    def wrong_in_short(self) -> str:
        """The number of modules built in a different format than stored, as a phrase."""
        modules = "module" if len(self.modules) == 1 else "modules"
        return (
            f"{len(self.wrong):,} of {len(self.modules):,} {modules} built in a different format "
            "than stored"
        )

    @property
    def fails(self) -> bool:
        """True when serving on this release is known to go wrong."""
        return self.refused or bool(self.wrong)

    @cached_property
    def wrong(self) -> tuple[ModuleVerdict, ...]:
        """The modules that are built in a different format than stored."""
        return tuple(module for module in self.modules if not module.agrees)
