"""The verdict of a release that reads the metadata as that of another quantizer than ModelOpt."""

from collections.abc import Sequence, Set
from typing import Final

from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.foreign import NotModelOptError
from ckptfix.runtimes.common.methods import NotKnownError
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.judged import expected_for
from ckptfix.runtimes.later import unless_lacking
from ckptfix.runtimes.learned.doubts import Doubts
from ckptfix.runtimes.learned.others import formats_seen
from ckptfix.runtimes.loads import SHARDS_MISSING, Effect, Reason
from ckptfix.runtimes.method_verdict import KNOWN_ROLES, MethodJudge
from ckptfix.runtimes.module_verdict import UNQUANTIZED
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.release_names import bound_names
from ckptfix.runtimes.renamed_scales import renames_scales
from ckptfix.runtimes.structure import (
    Tree,
    class_reasons,
    companion_reasons,
    structure_reasons,
)
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

_DTYPES_DECIDE: Final = "dtypes decide for this quantizer"

_DECLARE_CACHE: Final = ("kv_cache_scheme", "kv_cache_quant_algo")
"""Keys without one of which no class of SGLang says what `configure_kv_cache_dtype` looks for, so
that the KV cache is not quantized (0.5.23, layers/quantization/fp8.py, compressed_tensors/)."""


def judge_foreign(
    checkpoint: Checkpoint, target: Target, family: Family, outer: str, foreign: NotModelOptError
) -> TargetVerdict:
    """The verdict where a class for another quantizer reads the metadata.

    Args:
        checkpoint: what is judged.
        target: the release.
        family: how it lays out the modules.
        outer: its outer class.
        foreign: what the release found.

    Raises:
        NotModelOptError: what the class does is not known.
        StopsError: it rejects the metadata.
    """
    runtime, found = runtime_named(target.runtime), foreign.found
    if checkpoint.table.names_only:
        return TargetVerdict(target, f"{SHARDS_MISSING}; {_DTYPES_DECIDE}")
    method = runtime.method_named(foreign.method, target.profile_version, outer)
    seen = formats_seen(target.runtime, target.profile_version, outer, foreign.method)
    if method is None or (family.learned is not None and not seen):
        raise foreign
    names = bound_names(checkpoint, target, family, outer)
    dtypes = {name: tensor.dtype for name, tensor in checkpoint.table.tensors.items()}
    lookup = method.bind(found, names, dtypes)
    classes = [outer, *family.inner_of(checkpoint.config.nested)]
    expected = expected_for(checkpoint, family, target, classes, has_config=True)
    reached = names if method.maps_names else names.unmapped()
    judge_ = MethodJudge(
        checkpoint,
        lookup,
        found.place(),
        foreign.method,
        drops_strays=runtime.drops_strays,
        loads_kv_scales=expected.loads_kv_scales,
        is_dequantized=family.is_dequantized,
        renames_scales=renames_scales(target, classes),
    )
    try:
        modules = judge_.judge(placed(checkpoint, family))
    except NotKnownError as unknown:
        reason = f"what it builds for {unknown} is not known"
        return not_read(checkpoint, target, reason)
    kv_cache = any(found.get(key) for key in _DECLARE_CACHE)
    metadata = EffectiveMetadata(found.file, found.path, "", kv_cache=kv_cache)
    tree = Tree(checkpoint, family, expected, has_config=True, kv_cache=kv_cache, takes=KNOWN_ROLES)
    stops = tuple(class_reasons(checkpoint, expected))
    judged = {
        member
        for module in modules
        if module.resolved != UNQUANTIZED or not module.agrees
        for member in module.members
    }
    strays = companion_reasons(tree, judged, judge_.reads_output)
    faults = (*stops, *structure_reasons(tree), *strays)
    verdict = TargetVerdict(
        target, modules=modules, faults=faults, metadata=metadata, names=reached
    )
    if family.learned is None:
        return unless_lacking(verdict, expected)
    if stops:  # wherever the class, which is not built, would put the modules
        return replace(verdict, modules=tuple(m for m in modules if m.agrees), faults=stops)
    if family.mappers is None and _is_mapped_by_config(target, classes):
        return TargetVerdict(target, f"how {visible(outer)} maps names depends on config.json")
    doubts = Doubts(
        checkpoint, family.learned, expected.lacks, expected.drops_tables, expected.ties_differ
    )
    return _if_seen(verdict, doubts, seen)


def _is_mapped_by_config(target: Target, classes: Sequence[str]) -> bool:
    known = load_profile(target.runtime, target.profile_version).architectures
    return any(known[name].depends_on_config for name in classes if name in known)


def _if_seen(verdict: TargetVerdict, doubts: Doubts, seen: Set[str]) -> TargetVerdict:
    """The verdict, if the class was seen to load all that the checkpoint has."""
    known = doubts.learned
    quantized = {
        member: module.resolved
        for module in verdict.modules
        if module.agrees and module.resolved != UNQUANTIZED
        for member in module.members
    }
    why = doubts.first_of_others(quantized, seen)
    if not why and not known.is_certain:
        why = f"its class was learned from {known.version}, built with {known.config}"
    if not why:
        return verdict
    reason = f"how it lays out {visible(known.architecture)} is not known for certain"
    return TargetVerdict(verdict.target, f"{reason}: {why}")


def not_read(checkpoint: Checkpoint, target: Target, reason: str) -> TargetVerdict:
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
