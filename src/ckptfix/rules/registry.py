"""All rules: every file of this package that is not in `_MACHINERY` declares some."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

import ckptfix.rules
from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.rules.context import Facts
from ckptfix.rules.finding import Family, Finding, Needs, Rule, declared_rules
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.target_verdict import TargetVerdict

_MACHINERY: Final = frozenset(
    {"catalogue", "context", "finding", "folded", "misread", "reading", "registry", "selection"}
)


def _load() -> dict[str, Rule]:
    for module in sorted(module.name for module in iter_modules(ckptfix.rules.__path__)):
        if module not in _MACHINERY:
            import_module(f"{ckptfix.rules.__name__}.{module}")
    return declared_rules()


RULES: Final = _load()
"""Code -> rule, by code."""


def families() -> tuple[Family, ...]:
    """Every family that has a rule, by code."""
    return tuple(dict.fromkeys(rule.family for rule in RULES.values()))


def find_all(
    checkpoint: Checkpoint,
    name_map: NameMap,
    verdicts: tuple[TargetVerdict, ...] = (),
    numbers: Numbers = NOT_MEASURED,
) -> tuple[Finding, ...]:
    """Every finding, by code, then in the order of the files.

    Without verdicts and numbers they are computed once per checkpoint and name map, because a plan
    needs those of the current checkpoint several times.
    """
    if verdicts or numbers is not NOT_MEASURED:
        return _found(Facts(checkpoint, Naming(checkpoint, name_map), verdicts, numbers))
    key = "findings", name_map
    if key not in checkpoint.derived:
        checkpoint.derived[key] = _found(Facts(checkpoint, Naming(checkpoint, name_map)))
    found: tuple[Finding, ...] = checkpoint.derived[key]
    return found


def find_in_releases(
    checkpoint: Checkpoint, name_map: NameMap, verdicts: tuple[TargetVerdict, ...]
) -> tuple[Finding, ...]:
    """Findings of the rules that need a release, for releases that were not requested."""
    return _found(Facts(checkpoint, Naming(checkpoint, name_map), verdicts), "release")


def _found(facts: Facts, needs: Needs | None = None) -> tuple[Finding, ...]:
    """Findings of all rules, or of those with the given need."""
    rules = (rule for rule in RULES.values() if needs in (None, rule.needs))
    return tuple(finding for rule in rules for finding in facts.findings(rule))
