"""How a release applies its own name mappers to the names in the metadata."""

import re
from collections.abc import Sequence
from functools import cache

from ckptfix.runtimes.common.lookup_rules import MappingRules, RuleKindName
from ckptfix.runtimes.profile import ConfigMapper, NameRule


def map_config_name(rules: MappingRules, mapper: ConfigMapper, name: str) -> str | None:
    """The name after one mapper; None when a rule deletes it."""
    current = name
    for kind in rules.kinds:
        found: Sequence[NameRule] = getattr(mapper, kind)
        if rules.single_match:
            found = _longest_match(kind, found, current)
        for old, new in found:
            if not _matches(kind, old, current):
                continue
            if new is None:
                if rules.none_rules_delete:
                    return None
                continue
            current = _replace(kind, old, new, current)
    return current


def _longest_match(kind: RuleKindName, rules: Sequence[NameRule], name: str) -> Sequence[NameRule]:
    # For keys of equal length, the first in the source wins: the sort is stable.
    by_length = sorted(rules, key=lambda rule: len(rule[0]), reverse=True)
    return [rule for rule in by_length if _matches(kind, rule[0], name)][:1]


@cache
def _pattern(old: str) -> re.Pattern[str]:
    return re.compile(old)


def _matches(kind: RuleKindName, old: str, name: str) -> bool:
    match kind:
        case "regex":
            return _pattern(old).search(name) is not None
        case "substr":
            return old in name
        case "prefix":
            return name.startswith(old)
        case "suffix":
            return name.endswith(old)


def _replace(kind: RuleKindName, old: str, new: str, name: str) -> str:
    match kind:
        case "regex":
            return _pattern(old).sub(new, name)
        case "substr":
            return name.replace(old, new, 1)
        case "prefix":
            return new + name[len(old) :]
        case "suffix":
            return name[: len(name) - len(old)] + new


def split_wildcard(pattern: str) -> tuple[str, ...]:
    """`X*` -> `X`, `X.*`; `X.*` and plain names stay.

    >>> split_wildcard("model.layers.1*")
    ('model.layers.1', 'model.layers.1.*')
    """
    if len(pattern) >= 2 and pattern[-1] == "*" and pattern[-2] != ".":
        return pattern[:-1], f"{pattern[:-1]}.*"
    return (pattern,)
