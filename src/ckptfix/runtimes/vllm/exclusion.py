"""Whether vLLM excludes a module: by name, by a part of a name, by shell wildcards."""

from msgspec import Struct

from ckptfix.runtimes.common.exclusion import excluded
from ckptfix.runtimes.common.patterns import Excluded, Packed, PatternTable, by_members
from ckptfix.runtimes.vllm.releases import VllmExcluding


class VllmExclusion(Struct, frozen=True):
    """The patterns as one release applies them."""

    excluding: VllmExcluding
    table: PatternTable
    packed: Packed

    def find(self, name: str) -> Excluded | None:
        """Why a module of this name is excluded; None when it is not.

        Raises:
            LookupDisagreementError: vLLM would raise.
        """
        if not self.table.patterns:
            return None
        return (
            self._skipped(name)
            or excluded("substring", self.table.inside_but_shorter(name))
            or excluded("wildcard", self.table.glob_for(name))
        )

    def find_for_layer(self, name: str, *, experts: bool) -> Excluded | None:  # noqa: ARG002
        """The same: vLLM calls one function for everything."""
        return self.find(name)

    def _skipped(self, name: str) -> Excluded | None:
        """`is_layer_skipped`."""
        last = name.rpartition(".")[2]
        if last in self.packed:
            honours = self.excluding.honours_listed_packed_name
            if honours and (hit := self.table.equal_to(name)):
                return Excluded("exact", hit)
            return by_members(name, self.packed[last], self.table.equal_to)
        if "experts" in name:
            return excluded("experts", self.table.expert_below(name))
        return excluded("exact", self.table.equal_to(name))
