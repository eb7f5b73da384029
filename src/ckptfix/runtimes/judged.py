"""Every module that a release builds, and the faults of the tensors as a whole.

Both are computed once for releases in which nothing differs that matters.
"""

from collections.abc import Sequence

from packaging.specifiers import SpecifierSet

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.learned.placing import without_dropped
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.module_verdict import ModuleJudge, ModuleVerdict
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.structure import Expected, Tree, structure_reasons
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.tied_head import tied_head_reasons


def expected_for(family: Family, target: Target, classes: Sequence[str]) -> Expected:
    """What the classes build in addition to what the family describes.

    The layout of a wrapper is that of the class that it builds inside.
    """
    spec, runtime = family.spec, runtime_named(target.runtime)
    built = tuple(
        when
        for when in spec.built_when
        if (not when.architectures or classes[0] in when.architectures)
        and _holds(when.versions, target)
    )
    needs = bool(runtime.kv_scales_need_config) and _holds(runtime.kv_scales_need_config, target)
    layout = family.layout_of(classes[0])
    if spec.base and not spec.layout:
        inner = family_for(target.runtime, target.profile_version, classes[1:])
        layout = inner.layout_of(classes[1]) if inner else None
    ties = bool(runtime.tied_by_wrapper) and _holds(runtime.tied_by_wrapper, target)
    return Expected(
        layout,
        built,
        kv_scales_need_config=needs and not spec.passes_over_kv_scales,
        tied_by_wrapper=ties or spec.tied_by_wrapper,
    )


def _holds(versions: str, target: Target) -> bool:
    return SpecifierSet(versions).contains(target.profile_version)


def judge_all(
    judge_: ModuleJudge, family: Family, expected: Expected
) -> tuple[tuple[ModuleVerdict, ...], tuple[Reason, ...]]:
    """Every module, and the faults of the whole; computed once for equal releases."""
    checkpoint = judge_.checkpoint
    seen = checkpoint.derived.setdefault(("judged", id(family), expected), [])
    for like, every, faults in seen:
        if judge_.judges_like(like):
            return every, faults
    modules = placed(checkpoint, family)
    if family.learned is not None:
        modules = without_dropped(modules, family.learned.names, judge_.metadata.quant_algo)
    tables = ("embedding", "other")
    every = tuple(judge_.judge(m) for m in modules if m.kind not in tables)
    every += _tables(judge_, modules)
    faults = _faults(checkpoint, family, judge_.metadata, expected)
    faults += tuple(tied_head_reasons(judge_, family, expected))
    seen.append((judge_, every, faults))
    return every, faults


def _faults(
    checkpoint: Checkpoint, family: Family, metadata: EffectiveMetadata, expected: Expected
) -> tuple[Reason, ...]:
    """What is wrong with the tensors as a whole; little of it depends on the metadata."""
    depends_on = not metadata.ignored, metadata.kv_cache
    key = "faults", id(family), expected, *depends_on
    made_for, faults = checkpoint.table.derived.get(key, (None, ()))
    if made_for is not checkpoint.config:
        tree = Tree(checkpoint, family, expected, *depends_on)
        faults = tuple(structure_reasons(tree))
        checkpoint.table.derived[key] = checkpoint.config, faults
    found: tuple[Reason, ...] = faults
    return found


def _tables(judge_: ModuleJudge, modules: Sequence[RuntimeModule]) -> tuple[ModuleVerdict, ...]:
    """Embeddings and convolutions count only where they are stored quantized."""
    return tuple(
        judge_.judge(m)
        for m in modules
        if m.kind in ("embedding", "other")
        and any(judge_.checkpoint.formats[member].is_quantized for member in m.members)
    )
