"""For every runtime module: its stored format compared with what a release resolves for it.

The one invariant: the two must be equal. For a release that would reject the metadata as a whole,
or an architecture whose layout is not known, there is a reason instead of a verdict.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.before_transformers_5 import unread_type, written_later
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.foreign import NotModelledError, NotModelOptError
from ckptfix.runtimes.common.mistral import NotReadError
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.family import Family, family_for, why_unknown
from ckptfix.runtimes.foreign_verdict import judge_foreign, not_read, roles_taken
from ckptfix.runtimes.installed.answer import Installed
from ckptfix.runtimes.installed.bound import bound_of
from ckptfix.runtimes.installed.verdict import verdict_of
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.judged import config_reasons, expected_for, faults_of, judge_all
from ckptfix.runtimes.later import later_stop, unless_lacking, unsettled
from ckptfix.runtimes.learned.doubts import Doubts
from ckptfix.runtimes.loads import SHARDS_MISSING, Answer
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleJudge
from ckptfix.runtimes.options import with_options
from ckptfix.runtimes.other_format import of_other_format, with_other_flags
from ckptfix.runtimes.profile import ArchitectureProfile, RuntimeProfile
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.quant_methods import require_registered
from ckptfix.runtimes.reading import read_metadata
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.structure import (
    Expected,
    Tree,
    class_reasons,
    metadata_reasons,
    stops_at_joined,
)
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.tied_head import tied_head_reasons
from ckptfix.text import visible

_NAMES_FIT: Final = "nothing is wrong with the names, but dtypes and shapes decide too"


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
        checkpoint.derived[key] = with_options(checkpoint, found)
    verdict: TargetVerdict = checkpoint.derived[key]
    return verdict


def _judge_or_stop(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    if target.installed is not None:
        return _judge_installed(checkpoint, target, target.installed)
    found = _judge_recorded(checkpoint, target)
    if found.loads.answer is Answer.NO:
        return found
    if found.loads.answer is Answer.YES:
        why = unread_type(checkpoint, target) or written_later(checkpoint, target)
        return TargetVerdict(target, why) if why else found
    stop = next(iter(config_reasons(checkpoint, target)), None)  # comes before all that is unknown
    return found if stop is None else TargetVerdict(target, refusal=stop)


def _judge_recorded(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    try:
        return _judge(checkpoint, target)
    except StopsError as stop:
        at = stop.place_in(checkpoint.documents)
        return TargetVerdict(target, refusal=stop.reason, at=at)
    except UnregisteredError as unknown:
        return TargetVerdict(target, str(unknown), unregistered=True)
    except NotReadError as other:
        return TargetVerdict(target, str(other))
    except NotModelledError as own:
        return TargetVerdict(target, str(own))
    except NotModelOptError as foreign:
        reason = f"reads the metadata as that of another quantizer: {foreign}"
        if checkpoint.dialect.reading is not None:
            quantizer = checkpoint.dialect.quantizer
            reason = f"how this release reads metadata of {quantizer} is not known to ckptfix"
        return not_read(checkpoint, target, reason)


def _judge_installed(checkpoint: Checkpoint, target: Target, installed: Installed) -> TargetVerdict:
    """The runtime's own answer; recorded data of the release only shows what decides."""
    with suppress(StopsError, NotReadError):
        chosen = runtime_named(target.runtime).chooses(checkpoint, target.profile_version)
        if chosen is not checkpoint:
            return of_other_format(judge(chosen.folded, target), chosen)
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
    chosen = runtime.chooses(checkpoint, target.profile_version)
    if chosen is checkpoint:
        return _judge_chosen(checkpoint, target, runtime)
    own = of_other_format(judge(chosen.folded, target), chosen)
    if own.loads.answer is Answer.YES or checkpoint.other is None:
        return own
    alone = replace(checkpoint, in_mistral=None, consolidated=None)
    return with_other_flags(checkpoint, runtime, own, judge(alone, target))


def _judge_chosen(checkpoint: Checkpoint, target: Target, runtime: Runtime) -> TargetVerdict:
    profile = load_profile(target.runtime, target.profile_version)
    outer = outer_architecture(checkpoint.config, profile)
    family = family_for(target.runtime, target.profile_version, [outer])
    if family is None:
        with suppress(NotModelOptError):
            _read(checkpoint, target, profile, outer)  # what stops it does so for any layout
        why = why_unknown(target.runtime, target.profile_version, outer)
        reason = f"how it lays out {visible(outer)} is not known"
        return TargetVerdict(target, f"{reason}: {why}" if why else reason)
    classes = [outer, *family.inner_of(checkpoint.config.nested)]
    try:
        metadata = _read(checkpoint, target, profile, outer)
    except NotModelOptError as foreign:
        found = judge_foreign(checkpoint, target, family, outer, foreign)
        takes = roles_taken(foreign.method, target.runtime)
        return _unless_later_stops(checkpoint, family, classes, found, takes=takes)
    expected = expected_for(checkpoint, family, target, classes, has_config=not metadata.ignored)
    release = _Release(runtime, profile, family, classes, metadata, expected)
    key = *release.likeness, unsettled(checkpoint, family, target, outer)
    if key not in checkpoint.derived:
        found = _judged(checkpoint, target, release)
        checkpoint.derived[key] = _unless_later_stops(checkpoint, family, classes, found)
    alike: TargetVerdict = checkpoint.derived[key]
    return replace(alike, target=target)


def _read(
    checkpoint: Checkpoint, target: Target, profile: RuntimeProfile, outer: str
) -> EffectiveMetadata:
    """The metadata as the release reads it.

    Raises:
        StopsError: the release stops before it builds a layer.
        NotModelOptError: the release reads it as another quantizer's.
    """
    try:
        return read_metadata(checkpoint, profile, outer)
    except NotModelOptError as foreign:
        require_registered(target, foreign)
        raise


class _Release(Struct, frozen=True):
    """All that a verdict on ModelOpt's metadata takes from a release."""

    runtime: Runtime
    profile: RuntimeProfile
    family: Family
    classes: Sequence[str]
    """The outer model class, then those that it builds inside."""
    metadata: EffectiveMetadata
    expected: Expected

    @property
    def own(self) -> list[ArchitectureProfile]:
        """The profiles of the classes that it registers."""
        known = self.profile.architectures
        return [known[name] for name in self.classes if name in known]

    @property
    def likeness(self) -> tuple[object, ...]:
        """Equal for releases that get the same verdict.

        Families and profiles live as long as the program, metadata as long as the checkpoint.
        """
        parts = map(id, (self.family, self.metadata, *self.own))
        looks_up_as = self.runtime.looks_up_as(self.profile.version)
        return "alike", self.runtime.name, looks_up_as, *parts, self.expected


def _judged(checkpoint: Checkpoint, target: Target, release: _Release) -> TargetVerdict:
    runtime, family = release.runtime, release.family
    metadata, expected = release.metadata, release.expected
    bound = runtime.bind(
        release.profile,
        release.classes,
        {s.name: s.quant_algo or "" for s in metadata.entries},
        [statement.name for statement in metadata.excludes],
        quant_algo=metadata.quant_algo,
        added_packed=family.added_packed(checkpoint.config.values),
        mappers=family.mappers,
    )
    judge_ = ModuleJudge(checkpoint, runtime, metadata, bound, family.spec.reads_scales)
    every = judge_all(judge_, family)
    has_config = not metadata.ignored
    refused = metadata_reasons(checkpoint, expected, "modelopt") if has_config else ()
    tree = Tree(checkpoint, family, expected, has_config, metadata.kv_cache)
    stops = (*class_reasons(checkpoint, expected), *refused, *stops_at_joined(tree))
    faults = (*stops, *faults_of(tree))
    faults += tuple(tied_head_reasons(judge_, family, expected))
    verdict = TargetVerdict(target, modules=every, faults=faults, metadata=metadata, bound=bound)
    if family.learned is None:
        return unless_lacking(verdict, expected)
    if stops:  # wherever the class, which is not built, would put the modules
        return replace(verdict, modules=tuple(m for m in every if m.agrees), faults=stops)
    is_mapped = family.mappers is not None or not any(p.depends_on_config for p in release.own)
    doubts = Doubts(
        checkpoint, family.learned, expected.lacks, expected.drops_tables, expected.ties_differ
    )
    return unless_lacking(_if_certain(verdict, doubts, is_mapped=is_mapped), expected)


def _unless_later_stops(
    checkpoint: Checkpoint,
    family: Family,
    classes: Sequence[str],
    found: TargetVerdict,
    *,
    takes: frozenset[str] = frozenset(),
) -> TargetVerdict:
    """The verdict; unknown instead of yes if a later release would stop, and this was not tried."""
    if found.loads.answer is not Answer.YES or checkpoint.table.names_only:
        return found
    why = later_stop(checkpoint, family, found.target, classes, takes)
    return TargetVerdict(found.target, why) if why else found


def _if_certain(verdict: TargetVerdict, doubts: Doubts, *, is_mapped: bool) -> TargetVerdict:
    """The verdict, if what was learned about the class is enough for one."""
    known = doubts.learned
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
    why = doubts.first(quantized, mixed=mixed)
    if not why and known.is_certain:
        return verdict
    if not why:
        found = f"its class was learned from {known.version}, built with {known.config}"
        why = f"{found}; likely {verdict.loads.answer}"
    return TargetVerdict(verdict.target, f"{reason}: {why}")
