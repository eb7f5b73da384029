"""A learned table as a family entry."""

from ckptfix.runtimes.family_spec import FamilySpec
from ckptfix.runtimes.learned.store import Learned


def spec_of(learned: Learned, *, drops_strays: bool) -> FamilySpec:
    """The equivalent family entry, as far as an entry can express it.

    Args:
        learned: where it was learned.
        drops_strays: the runtime skips tensors that it has no parameter for.
    """
    table = learned.names
    heads = [row.stored for row in table.rows.values() if row.kind == "head"]
    left_out = {name.removesuffix(".weight") for name in table.record.unused}
    return FamilySpec(
        runtime=learned.runtime,
        architectures=(learned.architecture,),
        source=learned.source,
        reason="",
        inner=table.record.inner,
        leaves_out_tied_head=drops_strays and not left_out.isdisjoint(heads),
    )
