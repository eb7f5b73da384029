"""For every runtime module: its stored format compared with what a release resolves for it.

The one invariant: the two must be equal. For a release that would reject the metadata as a whole,
or an architecture whose layout is not known, there is a reason instead of a verdict.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.place import Place
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.foreign import NotModelledError, NotModelOptError
from ckptfix.runtimes.common.methods import NotKnownError
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.family import Family, family_for, why_unknown
from ckptfix.runtimes.installed.answer import Installed
from ckptfix.runtimes.installed.bound import bound_of
from ckptfix.runtimes.installed.verdict import verdict_of
from ckptfix.runtimes.judged import expected_for, faults_of, judge_all
from ckptfix.runtimes.learned.doubts import Doubts
from ckptfix.runtimes.learned.store import Learned
from ckptfix.runtimes.loads import (
    SHARDS_MISSING,
    YES,
    Answer,
    Effect,
    Loads,
    Reason,
    no,
    unknown,
)
from ckptfix.runtimes.method_verdict import KNOWN_ROLES, MethodJudge
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleJudge, ModuleVerdict
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.reading import read_metadata
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.release_names import bound_names
from ckptfix.runtimes.structure import Tree, class_reasons, structure_reasons
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.tied_head import tied_head_reasons
from ckptfix.text import visible

_NAMES_FIT: Final = "nothing is wrong with the names, but dtypes and shapes decide too"
_DTYPES_DECIDE: Final = "dtypes decide for this quantizer"


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

    @property
    def loads(self) -> Loads:
        """Whether the release loads the checkpoint as it is stored; every output uses this."""
        if self.refusal:
            return no([self.refusal])
        if self.unknown_because:
            return unknown(self.unknown_because)
        if not self.wrong:
            return no(self.faults) if self.faults else YES
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


def judge_each(
    checkpoint: Checkpoint, targets: Sequence[Target], listener: Listener = SILENT
) -> tuple[TargetVerdict, ...]:
    """The verdict for every release."""
    verdicts = []
    for number, target in enumerate(targets):
        step = f"resolving modules for {target}"
        listener.step(Step(step, checkpoint.name, number, len(targets)))
        verdicts.append(judge(checkpoint, target))
    return tuple(verdicts)


def judge(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    """The verdict for one release, made once for a checkpoint."""
    key = "verdict", target
    if key not in checkpoint.derived:
        found = _judge_or_stop(checkpoint, target)
        if checkpoint.table.names_only and found.loads.answer is Answer.YES:
            found = TargetVerdict(target, f"{SHARDS_MISSING}; {_NAMES_FIT}")
        checkpoint.derived[key] = found
    verdict: TargetVerdict = checkpoint.derived[key]
    return verdict


def _judge_or_stop(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    if target.installed is not None:
        return _judge_installed(checkpoint, target, target.installed)
    try:
        return _judge(checkpoint, target)
    except StopsError as stop:
        at = stop.place_in(checkpoint.documents)
        return TargetVerdict(target, refusal=stop.reason, at=at)
    except UnregisteredError as unknown:
        return TargetVerdict(target, str(unknown), unregistered=True)
    except NotModelledError as own:
        return TargetVerdict(target, str(own))
    except NotModelOptError as foreign:
        reason = f"reads the metadata as that of another quantizer: {foreign}"
        if checkpoint.dialect.reading is not None:
            quantizer = checkpoint.dialect.quantizer
            reason = f"how this release reads metadata of {quantizer} is not known to ckptfix"
        return _not_read(checkpoint, target, reason)


def _judge_installed(checkpoint: Checkpoint, target: Target, installed: Installed) -> TargetVerdict:
    """The runtime's own answer; recorded data of the release only shows what decides."""
    recorded = judge(checkpoint, target.recorded)
    bound = recorded.bound or bound_of(checkpoint, target)
    found = verdict_of(checkpoint, installed.ask(checkpoint), bound, installed.log())
    verdict = TargetVerdict(
        target,
        found.unknown_because,
        found.modules,
        refusal=found.refusal,
        faults=found.faults,
        metadata=recorded.metadata,
        bound=bound,
        notes=found.notes,
    )
    own, other = verdict.loads.answer, recorded.loads
    if Answer.UNKNOWN in (own, other.answer) or own is other.answer:
        return verdict
    note = f"the recorded data of {target.recorded} gives a different answer: {other}"
    return replace(verdict, notes=(note, *found.notes))


def _judge(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    runtime = runtime_named(target.runtime)
    if why := runtime.other_config(checkpoint):
        return TargetVerdict(target, why)
    profile = load_profile(target.runtime, target.profile_version)
    outer = outer_architecture(checkpoint.config, profile)
    family = family_for(target.runtime, target.profile_version, [outer])
    if family is None:
        with suppress(NotModelOptError):
            read_metadata(checkpoint, profile, outer)  # what stops it does so for any layout
        why = why_unknown(target.runtime, target.profile_version, outer)
        reason = f"how it lays out {visible(outer)} is not known"
        return TargetVerdict(target, f"{reason}: {why}" if why else reason)
    try:
        metadata = read_metadata(checkpoint, profile, outer)
    except NotModelOptError as foreign:
        return _judge_method(checkpoint, target, family, outer, foreign)
    entries = {s.name: s.quant_algo or "" for s in metadata.entries}
    excludes = [statement.name for statement in metadata.excludes]
    config = checkpoint.config
    classes = [outer, *family.inner_of(config.nested)]
    added = family.added_packed(config.values)
    bound = runtime.bind(
        profile, classes, entries, excludes, added_packed=added, mappers=family.mappers
    )
    expected = expected_for(checkpoint, family, target, classes)
    judge_ = ModuleJudge(checkpoint, runtime, metadata, bound, family.spec.reads_scales)
    every = judge_all(judge_, family)
    faults = faults_of(checkpoint, family, metadata, expected)
    faults += tuple(tied_head_reasons(judge_, family, expected))
    verdict = TargetVerdict(target, modules=every, faults=faults, metadata=metadata, bound=bound)
    if family.learned is None:
        return verdict
    stops = tuple(class_reasons(checkpoint, expected))
    if stops:  # wherever the class, which is not built, would put the modules
        return replace(verdict, modules=tuple(m for m in every if m.agrees), faults=stops)
    own = [profile.architectures[name] for name in classes if name in profile.architectures]
    is_mapped = family.mappers is not None or not any(known.depends_on_config for known in own)
    return _if_certain(checkpoint, verdict, family.learned, is_mapped=is_mapped)


def _if_certain(
    checkpoint: Checkpoint, verdict: TargetVerdict, known: Learned, *, is_mapped: bool
) -> TargetVerdict:
    """The verdict, if what was learned about the class is enough for one."""
    reason = f"how it lays out {visible(known.architecture)} is not known for certain"
    if not is_mapped:
        why = "its name mapper may depend on config.json and was not recorded"
        return TargetVerdict(verdict.target, f"{reason}: {why}")
    quantized = {
        member: module.resolved
        for module in verdict.modules
        if module.agrees and module.resolved not in (UNQUANTIZED, "error")
        for member in module.members
    }
    mixed = verdict.metadata is not None and verdict.metadata.is_mixed
    why = Doubts(checkpoint, known).first(quantized, mixed=mixed)
    if not why and known.is_certain:
        return verdict
    if not why:
        found = f"its class was learned from {known.version}, built with {known.config}"
        why = f"{found}; likely {verdict.loads.answer}"
    return TargetVerdict(verdict.target, f"{reason}: {why}")


def _judge_method(
    checkpoint: Checkpoint, target: Target, family: Family, outer: str, foreign: NotModelOptError
) -> TargetVerdict:
    """The verdict where a class for another quantizer reads the metadata.

    Raises:
        NotModelOptError: what the class does is not known.
        StopsError: it rejects the metadata.
    """
    runtime, found = runtime_named(target.runtime), foreign.found
    if checkpoint.table.names_only:
        return TargetVerdict(target, f"{SHARDS_MISSING}; {_DTYPES_DECIDE}")
    method = runtime.method_named(foreign.method, target.profile_version, outer)
    if method is None or family.learned is not None:  # its class was not learned with that method
        raise foreign
    names = bound_names(checkpoint, target, family, outer)
    dtypes = {name: tensor.dtype for name, tensor in checkpoint.table.tensors.items()}
    lookup = method.bind(found, names, dtypes)
    reached = names if method.maps_names else names.unmapped()
    judge_ = MethodJudge(checkpoint, lookup, found.place(), drops_strays=runtime.drops_strays)
    try:
        modules = judge_.judge(placed(checkpoint, family))
    except NotKnownError as unknown:
        reason = f"what it builds for {unknown} is not known"
        return _not_read(checkpoint, target, reason)
    metadata = EffectiveMetadata(found.file, found.path, "", kv_cache=True)
    classes = [outer, *family.inner_of(checkpoint.config.nested)]
    expected = expected_for(checkpoint, family, target, classes)
    tree = Tree(checkpoint, family, expected, has_config=True, kv_cache=True, takes=KNOWN_ROLES)
    faults = tuple(structure_reasons(tree))
    return TargetVerdict(target, modules=modules, faults=faults, metadata=metadata, names=reached)


def _not_read(checkpoint: Checkpoint, target: Target, reason: str) -> TargetVerdict:
    """How the metadata is read is not known, but only ModelOpt's could fit some tensors."""
    if _only_modelopt_stores(checkpoint):
        return TargetVerdict(target, refusal=Reason(reason, Effect.STOPS))
    return TargetVerdict(target, reason)


def _only_modelopt_stores(checkpoint: Checkpoint) -> bool:
    """True for tensors for which only ModelOpt's layers have a parameter."""
    mixes = checkpoint.config.values.get("quantization_config")
    if isinstance(mixes, dict) and "moe_quant_algo" in mixes:
        return False  # DeepSeek V4 in FP8, its experts in NVFP4
    return any("weight_scale_2" in module.tensors for module in checkpoint.modules.values())
