"""CKF209: similar layers have the same modules."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from difflib import get_close_matches
from typing import Final

from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.rules.context import Context
from ckptfix.rules.finding import Family, Finding, Severity
from ckptfix.rules.reading import place_of

FAMILY: Final = Family("CKF2", "coverage")

_Blocks = Mapping[str, Mapping[str, str]]
"""Block (`model.layers.0.mlp`) -> last part of a module's name -> module."""

_SHARED_PARTS: Final = 2
"""With fewer common modules, the replacement must at least have a similar name."""


@FAMILY.rule(
    "CKF209",
    "layer is missing a module that every similar layer has",
    Severity.WARNING,
    why=(
        "A module that was lost or misnamed during export is often missing from one layer only. "
        "vLLM 0.33.0 checks only for unquantized checkpoints that every parameter was loaded "
        "(vllm/model_executor/model_loader/default_loader.py); for a quantized one, the layer is "
        "served with uninitialised memory."
    ),
    fix="Export the checkpoint again, or rename the tensors if the module is present under a "
    "misspelled name.",
    since="0.1.0",
    example="""
    model.safetensors
      model.layers.0.mlp.up_proj stored as FP8
      model.layers.0.mlp.down_proj stored as FP8
      model.layers.1.mlp.up_proj stored as FP8
    + model.layers.1.mlp.down_proj stored as FP8
      model.layers.2.mlp.up_proj stored as FP8
      model.layers.2.mlp.down_proj stored as FP8
    """,
)
def lost_module(context: Context) -> Iterable[Finding]:
    """A block without one module that every similar block has.

    Blocks that differ on purpose (dense layers before expert layers, layers that share keys and
    values) are several, or differ in more than one module.
    """
    modules = context.checkpoint.modules
    for blocks in _kinds(modules):
        built = Counter(frozenset(parts) for parts in blocks.values())
        for own, number in built.items():
            if number == 1 and (found := _lost(own, built.keys() - {own})):
                block = next(name for name, parts in blocks.items() if parts.keys() == own)
                yield _finding(context, block, blocks[block], *found)


def _finding(
    context: Context, block: str, parts: Mapping[str, str], part: str, instead: str
) -> Finding:
    beside = parts[instead] if instead else next(iter(parts.values()))
    kind = block.rpartition(".")[2]
    found = f"; it has {instead} instead, which none of them has" if instead else ""
    return context.finding(
        subject=f"{block}.{part}",
        message=f"is missing, but every other layer with such a {kind} has it{found}",
        place=place_of(context.checkpoint, beside),
        advice="rename its tensors" if instead else context.export_again(),
        modules=(beside,) if instead else (),
    )


def _kinds(modules: Iterable[str]) -> Iterable[_Blocks]:
    """Blocks whose names differ in one number only, such as the `mlp` of all layers."""
    kinds: dict[tuple[str, str], dict[str, dict[str, str]]] = defaultdict(dict)
    for name in modules:
        block, _, part = name.rpartition(".")
        head, dot, tail = block.partition(".layers.")
        number, _, inner = tail.partition(".")
        if dot and inner and number.isdigit() and EXPERTS not in block:
            kinds[head, inner].setdefault(block, {})[part] = name
    return kinds.values()


def _lost(own: Set[str], others: Iterable[Set[str]]) -> tuple[str, str] | None:
    """The part that every similar block has, and the part found instead, if any.

    Args:
        own: the parts of one block.
        others: the parts of the other similar blocks.
    """
    similar = [set(parts) for parts in others if parts & own]
    if not similar:
        return None
    common = set.intersection(*similar)
    lost, more = common - own, own - set.union(*similar)
    if len(lost) != 1 or len(more) > 1:
        return None
    part, instead = lost.pop(), next(iter(more), "")
    if instead and len(common & own) < _SHARED_PARTS and not get_close_matches(part, [instead]):
        return None
    return part, instead
