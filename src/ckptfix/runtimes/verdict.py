"""For every runtime module: what it is stored as against what a release resolves for it.

The one invariant: the two must be equal. A release that would refuse the metadata as a whole, or
an architecture whose weights side is not known, gets a reason instead of a verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.metadata import CONFIG_FILE
from ckptfix.progress import SILENT, Listener, Step
from ckptfix.runtimes.binding import RuntimeModule, runtime_modules
from ckptfix.runtimes.effective import EffectiveMetadata, effective_metadata
from ckptfix.runtimes.family import Family, family_for, why_unknown
from ckptfix.runtimes.loads import Answer, Effect, Loads, Reason
from ckptfix.runtimes.lookup.binding import BoundMetadata, Resolution, bind
from ckptfix.runtimes.profile import RuntimeProfile
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

UNQUANTIZED = "unquantized"


@dataclass(frozen=True)
class ModuleVerdict:
    """One runtime module in one release."""

    name: str
    """Runtime name; empty where the runtime asks without a name."""
    kind: str
    members: tuple[str, ...]
    """Checkpoint names of the modules that end in it."""
    stored: str
    """A quant_algo, `unquantized`, `unrecognized`, or several, joined by `and`."""
    resolved: str
    """A quant_algo, `unquantized` or `error`."""
    agrees: bool
    reason: str
    """Why the two differ; empty when they agree."""
    resolution: Resolution | None
    """How the release got there; None when it does not ask the metadata."""

    @property
    def label(self) -> str:
        """Its name, or the checkpoint's where the runtime asks without a name."""
        return self.name or f"{self.members[0]} (asked for without a name)"


@dataclass(frozen=True)
class TargetVerdict:
    """All modules in one release."""

    target: Target
    problem: str
    """Why there is no verdict; empty when there is one."""
    modules: tuple[ModuleVerdict, ...] = ()
    unregistered: bool = False
    """The release does not register the architecture."""
    refused: bool = False
    """The release would stop before it builds a layer; `problem` says why."""
    metadata: EffectiveMetadata | None = None
    """What the release goes by, where it got that far."""
    bound: BoundMetadata | None = None
    """The same as the release holds it."""

    @property
    def loads(self) -> Loads:
        """Whether the release loads the checkpoint as it is stored; every output uses this."""
        if self.refused:
            return Loads(Answer.NO, (Reason(self.problem, Effect.STOPS),))
        if self.problem:
            return Loads(Answer.UNKNOWN, unknown_because=self.problem)
        reasons = tuple(Reason(m.reason, Effect.STOPS, m.label) for m in self.wrong)
        return Loads(Answer.NO if reasons else Answer.YES, reasons)

    @property
    def fails(self) -> bool:
        """True when serving on this release is known to go wrong."""
        return self.refused or bool(self.wrong)

    @property
    def wrong(self) -> tuple[ModuleVerdict, ...]:
        """The modules that are built otherwise than they are stored."""
        return tuple(module for module in self.modules if not module.agrees)


@dataclass(frozen=True)
class _Judge:
    checkpoint: Checkpoint
    metadata: EffectiveMetadata
    bound: BoundMetadata
    ignored: str = ""
    """Why the release does not read the metadata at all; empty when it does."""

    def module(self, module: RuntimeModule) -> ModuleVerdict:
        resolution = self.bound.resolve(module.name) if module.takes_quant_config else None
        resolved, reason = self._resolved(module, resolution)
        formats = [self.checkpoint.formats[member] for member in module.members]
        wanted = None if resolved in (UNQUANTIZED, "error") else resolved
        labels = sorted({stored.label(wanted) for stored in formats})
        agrees = len(labels) == 1 and labels[0].upper() == resolved.upper()
        if not agrees and len(labels) > 1:
            reason = "its members are stored differently"
        elif not agrees and not reason:
            reason = f"{self.metadata.file} says {resolved}"
        return ModuleVerdict(
            module.name,
            module.kind,
            module.members,
            " and ".join(labels),
            resolved,
            agrees,
            "" if agrees else reason,
            resolution,
        )

    def _resolved(self, module: RuntimeModule, resolution: Resolution | None) -> tuple[str, str]:
        """What the release builds, and why if that may surprise."""
        if self.ignored:
            return UNQUANTIZED, self.ignored
        if resolution is None:
            return UNQUANTIZED, "this runtime builds it without a quantization config"
        if resolution.exclusion_error:
            return "error", resolution.exclusion_error
        if resolution.excluded is not None:
            excluded = resolution.excluded
            return UNQUANTIZED, f"{visible(excluded.pattern.original)} excludes it ({excluded.how})"
        if module.kind == "head" and not self.bound.dialect.quantizes_heads:
            return UNQUANTIZED, "this release builds output heads unquantized"
        return self._mixed(module, resolution) if self.metadata.is_mixed else self._uniform(module)

    def _mixed(self, module: RuntimeModule, resolution: Resolution) -> tuple[str, str]:
        dialect = self.bound.dialect
        if resolution.algo_error:
            return "error", resolution.algo_error
        if resolution.resolved is None:
            return UNQUANTIZED, self._not_named(module)
        algo = resolution.resolved.entry.quant_algo
        experts = module.kind == "experts"
        if algo not in (dialect.dispatched_experts if experts else dialect.dispatched):
            return UNQUANTIZED, f"this release has no layer for {algo} under MIXED_PRECISION"
        entry = visible(resolution.resolved.entry.original)
        return algo, f"{entry} decides ({resolution.resolved.how})"

    def _uniform(self, module: RuntimeModule) -> tuple[str, str]:
        if part := next((p for p in self.bound.dialect.bare_parts if p in module.name), ""):
            return UNQUANTIZED, f"this release leaves names with {part} unquantized"
        return (self.metadata.quant_algo or UNQUANTIZED).upper(), "no pattern excludes it"

    def _not_named(self, module: RuntimeModule) -> str:
        if not module.name:
            return "this release asks for it without a name, so no entry can name it"
        parent, _, last = module.name.rpartition(".")
        parts = [member.rpartition(".")[2] for member in module.members]
        entries = self.bound.table.entries
        if last not in parts and any(f"{parent}.{part}" in entries for part in parts):
            members = ", ".join(dict.fromkeys(map(visible, parts)))
            return f"quantized_layers names {members}, this release has no packed table for {last}"
        if not self.bound.table.originals.isdisjoint(module.members):
            return "quantized_layers names it in the checkpoint's spelling, this release does not"
        return "quantized_layers does not name it"


def is_known(checkpoint: Checkpoint, target: Target) -> bool:
    """True where the release registers the architecture and its weights side is known."""
    profile = load_profile(target.runtime, target.profile_version)
    outer = _registered(checkpoint, profile)
    return outer is not None and family_for(profile.runtime, profile.version, [outer]) is not None


def _registered(checkpoint: Checkpoint, profile: RuntimeProfile) -> str | None:
    architectures = checkpoint.config.architectures
    return next((a for a in architectures if a in profile.architectures), None)


def _placed(checkpoint: Checkpoint, family: Family) -> tuple[RuntimeModule, ...]:
    """The runtime's modules; most releases place them alike."""
    key = "placed", id(family)  # families live as long as the program
    if key not in checkpoint.table.derived:
        checkpoint.table.derived[key] = runtime_modules(checkpoint.modules, family)
    placed: tuple[RuntimeModule, ...] = checkpoint.table.derived[key]
    return placed


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
        checkpoint.derived[key] = _judge(checkpoint, target)
    verdict: TargetVerdict = checkpoint.derived[key]
    return verdict


def _judge(checkpoint: Checkpoint, target: Target) -> TargetVerdict:
    architectures = checkpoint.config.architectures
    profile = load_profile(target.runtime, target.profile_version)
    outer = _registered(checkpoint, profile)
    if outer is None:
        names = ", ".join(visible(a) for a in architectures) or "no architecture"
        return TargetVerdict(target, f"does not register {names}", unregistered=True)
    family = family_for(target.runtime, target.profile_version, [outer])
    if family is None:
        why = why_unknown(target.runtime, outer)
        told = f"where it puts the modules of {visible(outer)} is not known"
        return TargetVerdict(target, f"{told}: {why}" if why else told)
    metadata = effective_metadata(checkpoint.metadata)
    if metadata is None:
        return TargetVerdict(target, "finds no quantization metadata")
    entries = {s.name: s.quant_algo for s in metadata.entries if s.quant_algo is not None}
    excludes = [statement.name for statement in metadata.excludes]
    bound = bind(profile, [outer, *family.inner_of(checkpoint.config.nested)], entries, excludes)
    # vLLM takes a quantization_config without quant_method for no quantization at all: vLLM 0.33.0
    # did so on exports of ModelOpt 0.31 and 0.33; the older releases read have the same code
    # (vllm/config/model.py, `_verify_quantization`).
    in_config = any(m.file == CONFIG_FILE for m in checkpoint.metadata)
    ignored = bound.dialect.needs_quant_method and in_config and not metadata.quant_method
    refusal = _refusal(outer, metadata, bound)
    if refusal and not ignored:
        return TargetVerdict(target, refusal, refused=True)
    why = "config.json has no quant_method, so this runtime ignores the metadata" if ignored else ""
    judge_ = _Judge(checkpoint, metadata, bound, why)
    modules = _placed(checkpoint, family)
    judged = tuple(judge_.module(m) for m in modules if m.kind not in ("embedding", "other"))
    every = judged + _tables(judge_, modules)
    return TargetVerdict(target, "", every, metadata=metadata, bound=bound)


def _tables(judge_: _Judge, modules: Sequence[RuntimeModule]) -> tuple[ModuleVerdict, ...]:
    """Embeddings and convolutions count only where they are stored quantized."""
    return tuple(
        judge_.module(m)
        for m in modules
        if m.kind in ("embedding", "other")
        and any(judge_.checkpoint.formats[member].is_quantized for member in m.members)
    )


def _mixed_refusal(outer: str, metadata: EffectiveMetadata, bound: BoundMetadata) -> str:
    if not metadata.entries:
        return "stops: MIXED_PRECISION without quantized_layers"
    dialect = bound.dialect
    algos = {entry.quant_algo for entry in bound.table.entries.values()}
    if not any(fnmatchcase(outer, pattern) for pattern in dialect.mixed_architectures):
        return f"takes the MIXED_PRECISION of {visible(outer)} for W4AFP8, not for a layer map"
    if dialect.mixed_needs_nvfp4 and not algos & {"NVFP4", "W4A16_NVFP4"}:
        return "takes MIXED_PRECISION without an NVFP4 entry for W4AFP8, not for a layer map"
    return ""


def _refusal(outer: str, metadata: EffectiveMetadata, bound: BoundMetadata) -> str:
    """Why the release would stop before it builds a layer; empty when it would not."""
    algo = (metadata.quant_algo or "").upper()
    if not algo:
        return "stops: the metadata has no quant_algo"
    if metadata.is_mixed:
        return _mixed_refusal(outer, metadata, bound)
    if algo not in bound.dialect.uniform:
        return f"stops: {algo} for the whole checkpoint is not supported"
    return ""
