"""Exclude patterns before SGLang 0.5.9: the classes of FP8 and of NVFP4 each have their own way.

Source: SGLang 0.5.8 and 0.5.8.post1, sglang/srt/layers/quantization/modelopt_quant.py,
`ModelOptQuantConfig._get_quant_method` and the two `is_layer_excluded`.
"""

from typing import Final

from msgspec import Struct

from ckptfix.runtimes.common.exclusion import excluded
from ckptfix.runtimes.common.patterns import Excluded, LookupDisagreementError, PatternTable
from ckptfix.runtimes.sglang.exclusion import SglangExclusion
from ckptfix.runtimes.sglang.regexes import WholeRegexTable

_MLA_DEPTH: Final = 5
"""Parts of `model.layers.0.self_attn.q_a_proj`; SGLang asserts that name and pattern have five."""


class ExclusionByFormat(Struct, frozen=True):
    """The patterns as the class of one format applies them. Expert banks are never excluded."""

    skips: SglangExclusion
    is_fp8: bool

    @property
    def _table(self) -> PatternTable:
        return self.skips.table

    def find(self, name: str) -> Excluded | None:
        """Why a linear layer of this name is excluded; None if it is not.

        The functions in the order in which the conformance data joins them, as for later releases.

        Raises:
            LookupDisagreementError: SGLang would raise.
        """
        if not self._table.patterns:
            return None
        return self._listed(name) or self.skips.skipped(name)

    def find_for_layer(self, name: str, *, experts: bool) -> Excluded | None:
        """The same for a layer, in the order of `_get_quant_method`.

        Raises:
            LookupDisagreementError: SGLang would raise.
        """
        if experts or not self._table.patterns:
            return None
        return self.skips.skipped(name) or self._listed(name)

    def _listed(self, name: str) -> Excluded | None:
        """`is_layer_excluded`."""
        if self.is_fp8:
            return excluded("substring", self._table.inside(name))
        return self._by_expression(name)

    def _by_expression(self, name: str) -> Excluded | None:
        found = self._table.index(WholeRegexTable).find(name)
        if found is None or found.how != "fused part":
            return found
        pattern = found.pattern.text
        if any(text.count(".") != _MLA_DEPTH - 1 for text in (name, pattern)):
            raise LookupDisagreementError(f"{pattern} or {name} has not five parts")
        return found
