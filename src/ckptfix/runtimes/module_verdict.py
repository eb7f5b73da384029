"""One runtime module: its stored format compared with what a release resolves for it."""

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.bound import BoundMetadata, Resolution
from ckptfix.runtimes.common.counting import Names, rules_that_count
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.layer_maps import NVFP4_ALGOS
from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.fitting import Layer, group_error, misfit
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.loads import Effect
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.text import visible

UNQUANTIZED = "unquantized"
_NOT_EXCLUDED = "no pattern excludes it"


class ModuleVerdict(Struct, frozen=True):
    """One runtime module in one release."""

    name: str
    """Runtime name; empty if the runtime looks the module up without one."""
    kind: str
    members: tuple[str, ...]
    """Checkpoint names of the modules that end in it."""
    stored: str
    """A quant_algo, `unquantized`, `unrecognized`, or several, joined by `and`."""
    resolved: str
    """A quant_algo, `unquantized` or `error`."""
    reason: str
    """Why the two differ; empty when they agree."""
    effect: Effect
    """What a user would see if the two differ."""
    resolution: Resolution | None = None
    """The lookup that led there; None if the release does not consult the metadata."""
    decided_by: str = ""
    """The name, pattern or place in another quantizer's metadata that quantizes the module; empty
    if none does, or the release raises."""

    @classmethod
    def of(
        cls,
        module: RuntimeModule,
        *,
        labels: Sequence[str],
        resolved: str,
        reason: str,
        effect: Effect = Effect.STOPS,
        resolution: Resolution | None = None,
        decided_by: str = "",
    ) -> "ModuleVerdict":
        """The verdict on a module whose members are stored in the formats `labels`."""
        stored = " and ".join(labels)
        return cls(
            module.name,
            module.kind,
            module.members,
            stored,
            resolved,
            reason,
            effect,
            resolution,
            decided_by,
        )

    @property
    def agrees(self) -> bool:
        """True if the release builds the module in its stored format."""
        return not self.reason

    @property
    def label(self) -> str:
        """Its name, or that in the checkpoint if the runtime looks it up without one."""
        return self.name or f"{self.members[0]} (looked up without a name)"


class _Compared(Struct, frozen=True):
    """The stored formats of a module's members, compared with what a release resolves."""

    labels: tuple[str, ...]
    """Sorted, each once."""
    agrees: bool
    """There is one, and it equals what is resolved."""
    fits: bool
    """If so, the tensors fill the layer."""
    effect: Effect


class ModuleJudge(Struct, frozen=True, dict=True):
    """Judges the modules of a checkpoint in one release."""

    checkpoint: Checkpoint
    runtime: Runtime
    metadata: EffectiveMetadata
    bound: BoundMetadata
    reads_scales: tuple[str, ...] = ()
    """Roles of scales that the classes rename to the one that the layer has."""

    def counting(self, names: Names) -> LookupRules:
        """The lookup rules that make a difference for modules of these names."""
        return rules_that_count(self.bound, names, mixed=self.metadata.is_mixed)

    def reads_like(self, other: "ModuleJudge") -> bool:
        """True where both read the same metadata, and only the lookup rules may differ."""
        mine, its = self.bound, other.bound
        return (
            self.runtime is other.runtime
            and self.metadata == other.metadata
            and (mine.exclusion == its.exclusion or not (mine.excludes or its.excludes))
            and mine.table is its.table
            and mine.packed == its.packed
        )

    def resolved(self, module: RuntimeModule) -> tuple[str, str]:
        """What the release builds, and why; its stored format does not matter."""
        return self._resolved(module, self._resolution(module))

    def _resolution(self, module: RuntimeModule) -> Resolution | None:
        if not module.takes_quant_config:
            return None
        return self.bound.resolve_module(module.name, experts=module.kind == "experts")

    def judge(self, module: RuntimeModule) -> ModuleVerdict:
        """What the release builds, compared with what is stored."""
        resolution = self._resolution(module)
        resolved, reason = self._resolved(module, resolution)
        compared = self._compare(module, resolved)
        if compared.agrees:
            reason = "" if compared.fits else self._misfit(module, resolved)
        elif len(compared.labels) > 1:
            reason = "its members are stored differently"
        elif not reason or (reason == _NOT_EXCLUDED and UNQUANTIZED not in compared.labels):
            # To exclude a quantized module would not help it.
            reason = f"{self.metadata.file} declares {self.metadata.declared or resolved}"
        return ModuleVerdict.of(
            module,
            labels=compared.labels,
            resolved=resolved,
            reason=reason,
            effect=compared.effect,
            resolution=resolution,
        )

    @cached_property
    def _seen(self) -> dict[tuple[int | str, ...], _Compared]:
        """What is resolved and the ids of stored formats, which live as long as their table.

        Shared by all releases that build a layer of the same quant_algo in the same way.
        """
        group_size = repr(self.metadata.group_size)  # anything that JSON can hold
        key = "compared", self.runtime.name, group_size, self.reads_scales
        seen: dict[tuple[int | str, ...], _Compared]
        seen = self.checkpoint.table.derived.setdefault(key, {})
        return seen

    def _compare(self, module: RuntimeModule, resolved: str) -> _Compared:
        """Compared once for all modules whose members are stored the same way."""
        formats = self.checkpoint.formats
        key: tuple[int | str, ...] = (resolved, *(id(formats[m]) for m in module.members))
        known = self._seen.get(key)
        if known is None:
            wanted = None if resolved in (UNQUANTIZED, "error") else resolved
            labels = sorted({formats[member].label(wanted) for member in module.members})
            agrees = len(labels) == 1 and labels[0].upper() == resolved.upper()
            near = agrees or NVFP4_ALGOS.issuperset((*labels, resolved))
            fits = not (near and self._misfit(module, resolved))
            likely = [formats[member].likely_label for member in module.members]
            effect = self._effect(likely, resolved, misfits=not fits)
            if agrees and wanted and self.checkpoint.table.names_only:
                labels = ["quantized"]  # it may be in another format with tensors of these names
            known = self._seen[key] = _Compared(tuple(labels), agrees, fits, effect)
        return known

    def _effect(self, labels: list[str], resolved: str, *, misfits: bool) -> Effect:
        """A scale without a tensor stays uninitialised; some releases drop stray tensors.

        Layers of W4A16_NVFP4 have an input_scale, too, and drop it: vLLM 0.22.0 to 0.33.0 and
        SGLang 0.5.15 to 0.5.23, .../quantization/{modelopt,modelopt_quant}.py.
        """
        if not misfits and NVFP4_ALGOS.issuperset((*labels, resolved)):
            return Effect.WRONG_WEIGHTS
        unquantized = all(label == UNQUANTIZED for label in labels)
        if resolved == "FP8" and (misfits or unquantized):
            return Effect.WRONG_WEIGHTS
        drops = self.runtime.drops_strays and resolved == UNQUANTIZED
        return Effect.WRONG_WEIGHTS if drops and "NVFP4" not in labels else Effect.STOPS

    def _resolved(self, module: RuntimeModule, resolution: Resolution | None) -> tuple[str, str]:
        """What the release builds, with the reason if it may be unexpected."""
        if self.metadata.ignored:
            return UNQUANTIZED, self.metadata.ignored
        if resolution is None:
            return UNQUANTIZED, "this runtime builds it without a quantization config"
        if error := self._error(module, resolution):
            return "error", error
        if left_out := self._left_out(module, resolution):
            return UNQUANTIZED, left_out
        mixed = self.metadata.is_mixed
        algo, reason = (
            self._mixed(module, resolution) if mixed else self._uniform(module, resolution)
        )
        if "NVFP4" in algo and (error := group_error(self.metadata.group_size)):
            return "error", error
        return algo, reason

    def _left_out(self, module: RuntimeModule, resolution: Resolution) -> str:
        """Why the release does not look up the quant_algo of the module; empty when it does."""
        if resolution.excluded is not None and self.metadata.experts is None:
            excluded = resolution.excluded
            return f"{visible(excluded.pattern.original)} excludes it ({excluded.how})"
        if module.kind == "head" and not self.bound.rules.quantizes_heads:
            return "this release builds output heads unquantized"
        return ""

    def _misfit(self, module: RuntimeModule, resolved: str) -> str:
        if resolved in (UNQUANTIZED, "error"):
            return ""
        layer = Layer(self.runtime, resolved, self.metadata.group_size, self.reads_scales)
        return misfit(layer, self.checkpoint, module.members)

    def _error(self, module: RuntimeModule, resolution: Resolution) -> str:
        """Why the release raises; some look up the entry even for an excluded module."""
        algo = self.metadata.quant_algo
        if module.kind == "experts" and algo in self.bound.rules.refuses_experts:
            return f"this release does not support {algo} experts"
        excluded = resolution.excluded is not None or resolution.exclusion_error
        asks_entry = self.runtime.asks_entry_of_excluded or not excluded
        if self.metadata.is_mixed and asks_entry and resolution.algo_error:
            return resolution.algo_error
        return resolution.exclusion_error

    def _mixed(self, module: RuntimeModule, resolution: Resolution) -> tuple[str, str]:
        rules = self.bound.rules
        if resolution.resolved is None:
            return UNQUANTIZED, self._not_named(module)
        algo = resolution.resolved.entry.quant_algo
        experts = module.kind == "experts"
        if algo not in (rules.dispatched_experts if experts else rules.dispatched):
            return UNQUANTIZED, f"this release does not support {algo} with MIXED_PRECISION"
        entry = visible(resolution.resolved.entry.original)
        return algo, f"{entry} decides ({resolution.resolved.how})"

    def _uniform(self, module: RuntimeModule, resolution: Resolution) -> tuple[str, str]:
        experts = self.metadata.experts
        if experts is not None and module.kind == "experts":
            excluded = resolution.excluded is not None and experts.if_excluded
            return excluded or experts.quant_algo, "this release always builds experts this way"
        if part := next((p for p in self.bound.rules.bare_parts if p in module.name), ""):
            return UNQUANTIZED, f"this release never quantizes modules whose name contains {part}"
        return self.metadata.quant_algo or UNQUANTIZED, _NOT_EXCLUDED

    def _not_named(self, module: RuntimeModule) -> str:
        if not module.name:
            return "this release looks it up without a name, so no entry can match it"
        parent, _, last = module.name.rpartition(".")
        parts = [member.rpartition(".")[2] for member in module.members]
        entries = self.bound.table.entries
        if last not in parts and any(f"{parent}.{part}" in entries for part in parts):
            members = ", ".join(dict.fromkeys(map(visible, parts)))
            return (
                f"quantized_layers lists {members}, but this release does not list {last} as packed"
            )
        if not self.bound.table.originals.isdisjoint(module.members):
            return (
                "quantized_layers lists it with the checkpoint spelling, but this release uses "
                "a different one"
            )
        return "quantized_layers does not list it"
