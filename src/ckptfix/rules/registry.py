"""All rules: every file of this package that is none of the `_MACHINERY` declares some."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

import ckptfix.rules
from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.rules.context import Facts
from ckptfix.rules.finding import Family, Finding, Rule, declared_rules
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.verdict import TargetVerdict

_MACHINERY: Final = frozenset(
    {"catalogue", "context", "finding", "folded", "reading", "registry", "selection"}
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
    """Every finding, by code, then in the order of the files."""
    facts = Facts(checkpoint, Naming(checkpoint, name_map), verdicts, numbers)
    return tuple(finding for rule in RULES.values() for finding in facts.findings(rule))
