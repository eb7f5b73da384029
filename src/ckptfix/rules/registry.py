"""All rules. A new family is one import here; a new rule in a family needs nothing."""

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.rules import (
    banks,
    coverage,
    draft,
    files,
    formats,
    joined_numbers,
    kernels,
    kv_cache,
    layers,
    names,
    patterns,
    runtimes,
    tensor_names,
)
from ckptfix.rules import numbers as number_rules
from ckptfix.rules.finding import Context, Finding, Rule, declared_rules
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.verdict import TargetVerdict

FAMILIES = (
    names,
    patterns,
    coverage,
    banks,
    formats,
    kernels,
    kv_cache,
    layers,
    files,
    draft,
    runtimes,
    tensor_names,
    number_rules,
    joined_numbers,
)

RULES: dict[str, Rule] = {rule.code: rule for rule in declared_rules()}


def find_all(
    checkpoint: Checkpoint,
    name_map: NameMap,
    verdicts: tuple[TargetVerdict, ...] = (),
    numbers: Numbers = NOT_MEASURED,
) -> tuple[Finding, ...]:
    """Every finding, by code, then in the order of the files."""
    context = Context(checkpoint, Naming(checkpoint, name_map), verdicts, numbers)
    return tuple(finding for rule in RULES.values() for finding in rule.find(context))
