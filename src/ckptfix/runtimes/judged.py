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


def expected_for(family: Family, target: Target, classes: Sequence[str]) -> Expected:
    """What the classes build in addition to what the family describes.

    The layout of a wrapper is that of the class that it builds inside.
    """
    built = tuple(
        spec
        for spec in family.spec.built_when
        if (not spec.architectures or classes[0] in spec.architectures)
        and SpecifierSet(spec.versions).contains(target.profile_version)
    )
    needing = runtime_named(target.runtime).kv_scales_need_config
    needs = bool(needing) and SpecifierSet(needing).contains(target.profile_version)
    needs = needs and not family.spec.passes_over_kv_scales
    if family.spec.layout or not family.spec.base:
        return Expected(family.layout_of(classes[0]), built, needs)
    inner = family_for(target.runtime, target.profile_version, classes[1:])
    return Expected(inner.layout_of(classes[1]) if inner else None, built, needs)


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
