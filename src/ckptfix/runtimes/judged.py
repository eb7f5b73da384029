"""Every module that a release builds, and the faults of the tensors as a whole.

Both are computed once for releases without relevant differences.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.by_config import by_config
from ckptfix.runtimes.cache_scales import cache_scales
from ckptfix.runtimes.common.counting import Names
from ckptfix.runtimes.common.lookup_rules import LookupRules
from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.config_classes import (
    ConfigClass,
    class_for,
    foreign_type,
    needs_model_type,
    unknown_type,
)
from ckptfix.runtimes.equations import equations
from ckptfix.runtimes.family import Family, family_for
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.learned.doubts import lacked
from ckptfix.runtimes.learned.lists import lists
from ckptfix.runtimes.learned.placing import without_dropped
from ckptfix.runtimes.learned.sizes import sizes
from ckptfix.runtimes.learned.store import needs_of
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.module_verdict import ModuleJudge, ModuleVerdict
from ckptfix.runtimes.order import drops_order
from ckptfix.runtimes.places import shell_patterns
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.rotary import rotary_for
from ckptfix.runtimes.rotary_tables import stored_tables
from ckptfix.runtimes.runtime_module import RuntimeModule, without_config
from ckptfix.runtimes.structure import Expected, Tree, class_reasons, structure_reasons
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.ties import tied_head
from ckptfix.runtimes.tried import stray_config_for, tried_for, unsaid

_HEAD: Final = ".lm_head"
"""Some releases look a name with this end up without what comes before it."""


def expected_for(
    checkpoint: Checkpoint,
    family: Family,
    target: Target,
    classes: Sequence[str],
    *,
    has_config: bool,
) -> Expected:
    """What the classes build in addition to what the family describes.

    The layout of a wrapper is that of the class that it builds inside. What makes no difference for
    this checkpoint is left out, so that releases that differ in nothing else are equal. It is found
    once for all metadata of the same tensors: no rewrite changes the rest of config.json.

    Args:
        checkpoint: for its config.json.
        family: how the release lays it out.
        target: the release.
        classes: the outer model class, then those that it builds inside.
        has_config: whether the release has a quantization config.
    """
    key = "expected", id(family), target, tuple(classes), has_config
    made_for, expected = checkpoint.table.derived.get(key, (None, None))
    if made_for is not checkpoint.config or expected is None:
        expected = _expected(checkpoint, family, target, classes, has_config=has_config)
        checkpoint.table.derived[key] = checkpoint.config, expected
    found: Expected = expected
    return found


def _expected(
    checkpoint: Checkpoint,
    family: Family,
    target: Target,
    classes: Sequence[str],
    *,
    has_config: bool,
) -> Expected:
    spec, runtime = family.spec, runtime_named(target.runtime)
    built = tuple(
        when
        for when in spec.built_when
        if (not when.architectures or classes[0] in when.architectures)
        and covers(when.versions, target.profile_version)
    )
    needs = _among(runtime.kv_scales_need_config, target)
    layout = family.layout_of(classes[0])
    if spec.base and not spec.layout:
        layout = _layout_of(classes[1:], target)
    if family.learned is not None and family.learned.takes_several_inside:
        # Its own table has only the names of the language model that config.json names.
        layout = _layout_of(
            [name for _, names in checkpoint.config.nested for name in names], target
        )
    stops = _among(spec.stops_at_kv_scales_in.get(classes[0], ""), target)
    loads_scales, stops_there = cache_scales(checkpoint, family, target, classes[0])
    drops = drops_order(target.runtime, target.profile_version, classes[0])
    dropped, stopping = stored_tables(checkpoint, target, classes[0])
    tied, ties_differ = tied_head(checkpoint, target, spec, classes[0])
    known = _config_class(checkpoint, target)
    expected = Expected(
        layout,
        built,
        loads_kv_scales=loads_scales,
        stops_at_kv_scales=spec.stops_at_kv_scales or stops or stops_there,
        takes_fused_experts=family.takes_fused_experts(target.profile_version),
        kv_scales_need_config=not has_config and needs and not spec.passes_over_kv_scales,
        drops_role="g_idx" if drops else "",
        drops_tables=dropped,
        stops_at_tables=stopping,
        skips_kv_scales=runtime.towers_skip_kv_scales.get(classes[0], ""),
        tied=tied,
        ties_differ=ties_differ,
        config_class=known,
        needs_model_type=needs_model_type(runtime.config_classes, target.profile_version),
        unknown_type=unknown_type(checkpoint, runtime.name, runtime.config_classes),
        foreign_type=foreign_type(checkpoint, target.profile_version, runtime.config_classes),
        stray_config=stray_config_for(checkpoint, target),
        tried=tried_for(checkpoint, target, classes),
        rotary=rotary_for(target.runtime, target.profile_version, classes[0]),
        sizes=sizes(target.runtime, target.profile_version, classes[0]),
        lists=lists(target.runtime, target.profile_version, classes[0]),
        equations=equations(target.runtime, target.profile_version, classes[0]),
        by_config=by_config(target.runtime, target.profile_version, classes[0]),
        lacks=lacked(checkpoint, _needs(family, target, classes[0])),
    )
    return _that_counts(expected, checkpoint, family)


def _layout_of(classes: Sequence[str], target: Target) -> Layout | None:
    """Of the first of these classes, if one of them is known."""
    family = family_for(target.runtime, target.profile_version, classes)
    return family.layout_of(classes[0]) if family else None


def _needs(family: Family, target: Target, architecture: str) -> tuple[str, ...]:
    """Keys that a class was seen to need, however the family of its modules is known."""
    if family.learned is not None:
        return family.learned.origin.needs
    return needs_of(target.runtime, target.profile_version, architecture)


def _among(versions: str, target: Target) -> bool:
    """Whether a release is one of these; no release is where the specifier is empty."""
    return bool(versions) and covers(versions, target.profile_version)


def config_reasons(checkpoint: Checkpoint, target: Target) -> tuple[Reason, ...]:
    """What stops the config class of a release, whatever the model class and the metadata are."""
    runtime = runtime_named(target.runtime)
    if checkpoint.is_mistral or checkpoint.in_mistral is not None:
        return ()  # a release may read params.json
    expected = Expected(
        None,
        config_class=_config_class(checkpoint, target),
        needs_model_type=needs_model_type(runtime.config_classes, target.profile_version),
        unknown_type=unknown_type(checkpoint, runtime.name, runtime.config_classes),
        stray_config=stray_config_for(checkpoint, target),
    )
    return tuple(class_reasons(checkpoint, expected))


def _that_counts(expected: Expected, checkpoint: Checkpoint, family: Family) -> Expected:
    """With what config.json lacks, and without what says nothing about it."""
    values = checkpoint.config_values
    is_typed = values is None or isinstance(values.get("model_type"), str)
    config = Tree(checkpoint, family, expected, has_config=True, kv_cache=True).config
    return replace(
        expected,
        lacks=(*expected.lacks, *unsaid(expected.config_class, expected.tried, values)),
        built=tuple(built for built in expected.built if built.values or config.number(built.key)),
        needs_model_type=expected.needs_model_type and not is_typed,
    )


def _config_class(checkpoint: Checkpoint, target: Target) -> ConfigClass | None:
    values = checkpoint.config_values
    if values is None or checkpoint.is_mistral:  # params.json is read by none of them
        return None
    rows = runtime_named(target.runtime).config_classes
    return class_for(rows, target.profile_version, values.get("model_type"))


class _Judged(Struct, frozen=True):
    """What one release found."""

    judge: ModuleJudge
    rules: LookupRules
    """Those that count for the names of these modules."""
    verdicts: tuple[ModuleVerdict, ...]

    def serves(self, judge_: ModuleJudge, rules: LookupRules) -> bool:
        """True where the other release finds the same for every module."""
        return self.rules == rules and judge_.reads_like(self.judge)

    def serves_but_heads(self, judge_: ModuleJudge, rules: LookupRules) -> bool:
        """True where the other release finds the same for every module but output heads."""
        return _but_heads(self.rules) == _but_heads(rules) and judge_.reads_like(self.judge)


def _but_heads(rules: LookupRules) -> LookupRules:
    return replace(rules, quantizes_heads=False, head_candidate=False)


def judge_all(judge_: ModuleJudge, family: Family) -> tuple[ModuleVerdict, ...]:
    """The verdict on every module; releases that find the same share it."""
    checkpoint = judge_.checkpoint
    seen: list[_Judged] = checkpoint.derived.setdefault(("judged", id(family)), [])
    looked_at = _looked_at(judge_, family)
    modules, rules = looked_at.modules, judge_.counting(looked_at.names)
    for earlier in seen:
        if earlier.serves(judge_, rules):
            return earlier.verdicts
    near = next((earlier for earlier in seen if earlier.serves_but_heads(judge_, rules)), None)
    if near is None:
        verdicts = tuple(map(judge_.judge, modules))
    else:
        verdicts = tuple(
            judge_.judge(module) if module.kind == "head" or _HEAD in module.name else known
            for module, known in zip(modules, near.verdicts, strict=True)
        )
    seen.append(_Judged(judge_, rules, verdicts))
    return verdicts


class _LookedAt(Struct, frozen=True):
    """The modules that are judged."""

    placed: Sequence[RuntimeModule]
    """All modules; these are chosen from them."""
    modules: Sequence[RuntimeModule]
    names: Names


def _looked_at(judge_: ModuleJudge, family: Family) -> _LookedAt:
    """Chosen once for all metadata of the same tensors that is read alike."""
    checkpoint = judge_.checkpoint
    every = placed(checkpoint, family)
    without = family.spec.places.unquantized_in if family.spec.places is not None else {}
    algo = judge_.metadata.quant_algo if family.learned is not None or without else ""
    key = "looked at", id(family), algo
    found: _LookedAt | None = checkpoint.table.derived.get(key)
    if found is None or found.placed is not every:
        modules = every
        if family.learned is not None:
            modules = without_dropped(modules, family.learned.names_for(checkpoint.config), algo)
        if names := without.get(algo, ()):
            patterns = shell_patterns(names)
            modules = without_config(modules, lambda m: patterns.match(m.name) is not None)
        modules = _tables_last(checkpoint, modules)
        found = _LookedAt(every, modules, Names.of(module.name for module in modules))
        checkpoint.table.derived[key] = found
    return found


def _tables_last(
    checkpoint: Checkpoint, modules: tuple[RuntimeModule, ...]
) -> tuple[RuntimeModule, ...]:
    """Embeddings and convolutions come last, and only where they are stored quantized."""
    tables = [m for m in modules if m.kind in ("embedding", "other")]
    if not tables:
        return modules
    formats = checkpoint.formats
    stored = (m for m in tables if any(formats[member].is_quantized for member in m.members))
    return (*(m for m in modules if m.kind not in ("embedding", "other")), *stored)


def faults_of(tree: Tree) -> tuple[Reason, ...]:
    """What is wrong with the tensors as a whole, which hardly depends on the metadata."""
    return tree.once("faults", lambda: tuple(structure_reasons(tree)))
