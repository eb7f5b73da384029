"""The verdict of a release that reads the metadata as that of another quantizer than ModelOpt."""

from collections.abc import Mapping, Sequence, Set
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.foreign import NotModelOptError
from ckptfix.runtimes.common.methods import NotKnownError, QuantMethod
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.family import Family
from ckptfix.runtimes.judged import expected_for, faults_of
from ckptfix.runtimes.later import unless_lacking
from ckptfix.runtimes.learned.doubts import Doubts
from ckptfix.runtimes.learned.others import formats_seen
from ckptfix.runtimes.learned.store import learned
from ckptfix.runtimes.loads import SHARDS_MISSING, Effect, Reason
from ckptfix.runtimes.method_verdict import KNOWN_ROLES, OUTPUTS_OF, MethodJudge
from ckptfix.runtimes.module_verdict import UNQUANTIZED
from ckptfix.runtimes.own_lookups import (
    OtherName,
    other_names,
    own_names,
    placed_as,
    with_own_packed,
)
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.release_names import bound_names
from ckptfix.runtimes.renamed_scales import renames_scales
from ckptfix.runtimes.structure import (
    OF_PROBABILITIES,
    Expected,
    Tree,
    class_reasons,
    companion_reasons,
    metadata_reasons,
    one_scale_reasons,
    stops_at_joined,
)
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

_DTYPES_DECIDE: Final = "dtypes decide for this quantizer"

_DECLARE_CACHE: Final = ("kv_cache_scheme", "kv_cache_quant_algo")
"""Keys without one of which no class of SGLang says what `configure_kv_cache_dtype` looks for, so
that the KV cache is not quantized (0.5.23, layers/quantization/fp8.py, compressed_tensors/)."""


def roles_taken(method: str, runtime: str) -> frozenset[str]:
    """Roles that a layer or attention may have, where metadata of this quant_method is read.

    What the classes that read an output_scale also read is for the probabilities of attention.
    """
    reads = method in OUTPUTS_OF and not runtime_named(runtime).drops_strays
    return KNOWN_ROLES | {OF_PROBABILITIES} if reads else KNOWN_ROLES


def judge_foreign(
    checkpoint: Checkpoint, target: Target, family: Family, outer: str, foreign: NotModelOptError
) -> TargetVerdict:
    """The verdict where a class for another quantizer reads the metadata.

    It is made once for releases that differ in nothing that counts.

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
    if checkpoint.table.names_only:
        return TargetVerdict(target, f"{SHARDS_MISSING}; {_DTYPES_DECIDE}")
    release = _release(checkpoint, target, family, outer, foreign)
    key = "alike foreign", target.runtime, id(family), foreign.method  # families are never freed
    seen: list[tuple[_Release, TargetVerdict]] = checkpoint.derived.setdefault(key, [])
    known = next((verdict for other, verdict in seen if other == release), None)
    if known is None:
        known = _judged(checkpoint, target, family, release)
        seen.append((release, known))
    return replace(known, target=target)


class _Release(Struct, frozen=True):
    """All that a verdict takes from a release, besides how it lays out the modules."""

    outer: str
    """The outer model class."""
    method: QuantMethod
    """The class that reads the metadata."""
    name: str
    """Its quant_method."""
    found: JsonObject
    """The metadata that it reads."""
    names: BoundNames
    own_names: BoundNames | None
    """The same before a class inside is built."""
    other_names: OtherName | None
    formats: frozenset[str]
    """Those that the model class was seen to load with this method."""
    expected: Expected
    renames_scales: bool
    embeddings: Mapping[str, str | None]
    """As in `MethodJudge`."""
    is_mapped_by_config: bool


def _release(
    checkpoint: Checkpoint, target: Target, family: Family, outer: str, foreign: NotModelOptError
) -> _Release:
    """What counts of a release.

    Raises:
        NotModelOptError: what its class does is not known.
    """
    version, classes = target.profile_version, [outer, *family.inner_of(checkpoint.config.nested)]
    method = runtime_named(target.runtime).method_named(foreign.method, version, outer)
    formats = formats_seen(target.runtime, version, outer, foreign.method)
    if method is None or (family.learned is not None and not formats):
        raise foreign
    return _Release(
        outer,
        method,
        foreign.method,
        foreign.found,
        bound_names(checkpoint, target, family, outer),
        own_names(family, target, outer),
        other_names(target, outer, foreign.method),
        formats,
        expected_for(checkpoint, family, target, classes, has_config=True),
        renames_scales(target, classes),
        known.names.embeddings if (known := learned(target.runtime, version, outer)) else {},
        _is_mapped_by_config(target, classes),
    )


def _judged(
    checkpoint: Checkpoint, target: Target, family: Family, release: _Release
) -> TargetVerdict:
    found, names, expected = release.found, release.names, release.expected
    lookup = release.method.bind(found, names, checkpoint.table.dtypes)
    if release.own_names is not None:
        own = release.method.bind(found, release.own_names, checkpoint.table.dtypes)
        lookup = with_own_packed(lookup, own, family)
    judge_ = MethodJudge(
        checkpoint,
        lookup,
        found.place(),
        release.name,
        release.embeddings,
        drops_strays=runtime_named(target.runtime).drops_strays,
        loads_kv_scales=expected.loads_kv_scales,
        is_dequantized=family.is_dequantized,
        renames_scales=release.renames_scales,
    )
    try:
        modules = judge_.judge(placed_as(checkpoint, family, release.other_names))
    except NotKnownError as unknown:
        reason = f"what it builds for {unknown} is not known"
        return not_read(checkpoint, target, reason)
    kv_cache = any(found.get(key) for key in _DECLARE_CACHE)
    metadata = EffectiveMetadata(found.file, found.path, "", kv_cache=kv_cache)
    takes = roles_taken(release.name, target.runtime)
    tree = Tree(checkpoint, family, expected, has_config=True, kv_cache=kv_cache, takes=takes)
    refused = metadata_reasons(checkpoint, expected, release.name)
    stops = (*class_reasons(checkpoint, expected), *refused, *stops_at_joined(tree))
    judged = {
        member
        for module in modules
        if module.resolved != UNQUANTIZED or not module.agrees
        for member in module.members
    }
    strays = companion_reasons(tree, judged, judge_.reads_output)
    many = one_scale_reasons(tree) if _has_one_scale(release, target, kv_cache=kv_cache) else ()
    faults = (*stops, *faults_of(tree), *strays, *many)
    reached = names if release.method.maps_names else names.unmapped()
    verdict = TargetVerdict(
        target, modules=modules, faults=faults, metadata=metadata, names=reached
    )
    if family.learned is None:
        return unless_lacking(verdict, expected)
    if stops:  # wherever the class, which is not built, would put the modules
        return replace(verdict, modules=tuple(m for m in modules if m.agrees), faults=stops)
    if family.mappers is None and release.is_mapped_by_config:
        return TargetVerdict(
            target, f"how {visible(release.outer)} maps names depends on config.json"
        )
    doubts = Doubts(
        checkpoint, family.learned, expected.lacks, expected.drops_tables, expected.ties_differ
    )
    return unless_lacking(_if_seen(verdict, doubts, release.formats), expected)


def _has_one_scale(release: _Release, target: Target, *, kv_cache: bool) -> bool:
    """Whether attention has a scale of a KV cache, and one for all heads."""
    scheme = release.found.get("kv_cache_scheme")
    if isinstance(scheme, dict) and scheme.get("strategy") == "attn_head":
        return False
    declared = kv_cache and release.name == "compressed-tensors"
    return declared or release.name in runtime_named(target.runtime).scales_of_cache_with


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
