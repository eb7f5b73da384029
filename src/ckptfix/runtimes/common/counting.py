"""Which of a release's lookup rules can make a difference for the modules of one checkpoint.

Most releases changed something, but little of it concerns one checkpoint: a candidate for another
place of the language model, an output head, a quant_algo that no entry has. Releases whose
remaining rules are equal find the same for every module.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.lookup_rules import LookupRules, MappingRules
from ckptfix.runtimes.common.patterns import BUILTIN_PACKED

_APPLIED: Final = MappingRules(())
"""The names were mapped when the metadata was bound, so the entries are compared instead."""


class Names(Struct, frozen=True):
    """The names that a release looks up, as one text that is searched for their parts.

    A name with a line break in it can only make a rule count that does not.
    """

    text: str

    @classmethod
    def of(cls, names: Iterable[str]) -> "Names":
        """The names, one a line."""
        return cls("\n".join(("", *names, "")))

    def any_starts(self, head: str) -> bool:
        """True where a name starts with these characters."""
        return f"\n{head}" in self.text

    def any_ends(self, tail: str) -> bool:
        """True where a name ends with these characters."""
        return f"{tail}\n" in self.text

    def any_holds(self, part: str) -> bool:
        """True where a name has these characters in it."""
        return part in self.text


def rules_that_count(bound: BoundMetadata, names: Names, *, mixed: bool) -> LookupRules:
    """The rules without those that make no difference for any of the names.

    Args:
        bound: the metadata as the release stores it.
        names: what it looks up.
        mixed: whether entries decide, not one quant_algo for all modules.
    """
    rules, entries = bound.rules, bound.table.entries
    counting = replace(
        rules,
        since="",
        mapping=_APPLIED,
        inner_classes_count=False,
        dispatched=frozenset(),
        dispatched_experts=frozenset(),
        refuses_experts=frozenset() if mixed else rules.refuses_experts,
        candidates=(),
        head_candidate=False,
        experts_take_siblings=False,
        builtin_packed=False,
        bare_parts=() if mixed else tuple(filter(names.any_holds, rules.bare_parts)),
    )
    if not entries:
        return counting
    head_candidate = rules.head_candidate and names.any_ends(".lm_head")
    candidates = any(names.any_starts(old) for old, _ in rules.candidates)
    algos = bound.table.algos if mixed else frozenset()
    # A packed table with the same members, looked up by no other name, finds what the release
    # knows without one.
    listed = all(bound.packed.get(name) == parts for name, parts in BUILTIN_PACKED.items())
    listed = listed and not candidates and not names.any_holds(".lm_head.")
    return replace(
        counting,
        dispatched=rules.dispatched & algos,
        dispatched_experts=rules.dispatched_experts & algos,
        candidates=rules.candidates if candidates else (),
        head_candidate=head_candidate,
        experts_take_siblings=rules.experts_take_siblings and names.any_ends(".experts"),
        builtin_packed=rules.builtin_packed and not listed,
    )
