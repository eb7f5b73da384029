"""Rules of a user's name map that match no name, most likely mistyped. Pure."""

from collections.abc import Collection

from msgspec import Struct

from ckptfix.names import NameMapper, Rule
from ckptfix.rewriting.proved import ProvedPlan
from ckptfix.runtimes.name_maps import NameMap


class Unmatched(Struct, frozen=True):
    """Rules that match nothing."""

    rules: tuple[str, ...] = ()
    """As the user gave them."""
    all: bool = False
    """There are rules, and none matches."""


def unmatched_rules(planned: ProvedPlan, own: NameMap | None) -> Unmatched:
    """The rules that match neither an existing name nor one that a rule has produced.

    The second happens when a rewrite is repeated, so it is not a mistake.

    Args:
        planned: the rewrite.
        own: the user's map; None where there is none.
    """
    if own is None:
        return Unmatched()
    checkpoint = planned.checkpoint
    names: Collection[str] = (
        tuple(checkpoint.table.file_of)
        if planned.tensors is not None
        else tuple({s.name for m in checkpoint.metadata for s in m.statements})
    )
    rules = own.mapper.rules
    left = tuple(rule for rule in rules if not _matches(rule, names))
    return Unmatched(tuple(map(str, left)), all=bool(rules) and len(left) == len(rules))


def _matches(rule: Rule, names: Collection[str]) -> bool:
    mapper = NameMapper((rule,))
    if any(mapper.map(name) != name for name in names):
        return True
    if rule.kind != "prefix" or not rule.new:
        return False
    return any(name == rule.new or name.startswith(f"{rule.new}.") for name in names)
