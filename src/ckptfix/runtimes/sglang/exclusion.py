"""Whether SGLang excludes a module: two functions, called in two orders."""

from msgspec import Struct

from ckptfix.runtimes.common.exclusion import excluded
from ckptfix.runtimes.common.patterns import (
    BUILTIN_PACKED,
    Excluded,
    Packed,
    Pattern,
    PatternTable,
    by_members,
)
from ckptfix.runtimes.sglang.excluding import SglangExcluding
from ckptfix.runtimes.sglang.regexes import RegexTable


class SglangExclusion(Struct, frozen=True):
    """The patterns as one release applies them."""

    excluding: SglangExcluding
    table: PatternTable
    packed: Packed

    def find(self, name: str) -> Excluded | None:
        """Why a module of this name is excluded; None if it is not.

        In the mixed method SGLang calls them in the other order and can raise where this does not;
        the conformance data joins the two functions in this order.

        Raises:
            LookupDisagreementError: SGLang would raise.
        """
        if not self.table.patterns:
            return None
        return self._by_expression(name) or self.skipped(name)

    def find_for_layer(self, name: str, *, experts: bool) -> Excluded | None:
        """The same, as SGLang checks it when it builds a layer (`get_quant_method`).

        It calls the function that can raise first, and for expert banks only the other one.

        Raises:
            LookupDisagreementError: SGLang would raise.
        """
        if not self.table.patterns:
            return None
        skipped = None if experts else self.skipped(name)
        return skipped or self._by_expression(name)

    def _by_expression(self, name: str) -> Excluded | None:
        """`is_layer_excluded`."""
        return self.table.index(RegexTable).find(name)

    def _hits(self, name: str) -> Pattern | None:
        if self.excluding.by_substring:
            return self.table.inside(name)
        ignores = self.excluding.ignores_trailing_dots
        return self.table.in_whole_parts(name, ignore_last_dots=ignores)

    def skipped(self, name: str) -> Excluded | None:
        """What `is_layer_skipped` finds.

        Raises:
            LookupDisagreementError: it would raise.
        """
        last = name.rpartition(".")[2]
        members = self.packed
        if last not in self.packed and self.excluding.knows_packed:
            members = BUILTIN_PACKED
        if last in members:
            return by_members(name, members[last], self._hits)
        if self.excluding.experts_replace and "experts" in name and "gate_up_proj" not in name:
            return excluded("experts", self.table.expert_below(name))
        if hit := self._hits(name):
            return Excluded("substring" if self.excluding.by_substring else "path", hit)
        if "gate_up_proj" in name:
            halves = [name.replace("gate_up_proj", half) for half in ("gate_proj", "up_proj")]
            found = self.table.positions(halves)
            return excluded("packed members", self.table.earliest(found)) if found[1:] else None
        return excluded("experts", self.table.expert_below(name)) if "experts" in name else None
