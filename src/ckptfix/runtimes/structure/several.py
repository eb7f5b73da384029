"""Reasons about several tensors or modules."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.expert_banks import EXPERTS
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_SHOWN: Final = 3


def about(tree: Tree, names: Sequence[str], text: str, effect: Effect) -> Reason:
    """One reason for all of them.

    Args:
        tree: whose checkpoint stores them.
        names: of tensors or modules, at least one.
        text: as in `Reason`, with `{}` where they are named.
        effect: of all of them.
    """
    told = text.format(_some(tree.checkpoint, names))
    return Reason(told, effect, tensor=_ordered(names)[0], of_first=True)


def stop_at(tree: Tree, names: Sequence[str], cause: str) -> Reason:
    """The same where the release stops, for a cause that is a sentence of its own."""
    told = cause.format(_some(tree.checkpoint, names))
    return Reason.stop(told, tensor=_ordered(names)[0], of_first=True)


def each_effect(
    tree: Tree, names: Sequence[str], places: Mapping[str, str], what: str
) -> Iterator[Reason]:
    """One reason for those at which the release stops, one for those that it skips."""
    skipped = [name for name in names if places[name].startswith(tree.family.spec.drops_below)]
    stopped = [name for name in names if name not in skipped] if skipped else names
    for found, effect in ((stopped, tree.stops), (skipped, Effect.WRONG_WEIGHTS)):
        if found:
            yield about(tree, found, f"{what} {{}}", effect)


def _ordered(names: Sequence[str]) -> list[str]:
    """Experts first, because one of their names represents many."""
    return sorted(names, key=lambda name: EXPERTS not in name)


def _some(checkpoint: Checkpoint, names: Sequence[str]) -> str:
    """The first names, and the number of further ones.

    What all experts of a bank have is one name, with `{0-127}` for their numbers: the text does
    not depend on whether the bank is folded.
    """
    shown = list(_by_bank(checkpoint, _ordered(names)))
    told = ", ".join(map(visible, shown[:_SHOWN]))
    return told if len(shown) <= _SHOWN else f"{told} and {len(shown) - _SHOWN:,} more"


def _by_bank(checkpoint: Checkpoint, names: Sequence[str]) -> Iterator[str]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for name in names:
        grouped.setdefault(_of_bank(name), []).append(name)
    for (head, rest), alike in grouped.items():
        size = _size(checkpoint, head) if rest else 0
        folded = checkpoint.banks is not None and checkpoint.banks.has(alike[0])
        if size > 1 and (folded or len(alike) == size):
            yield f"{head}{EXPERTS}{{0-{size - 1}}}.{rest}"
        else:
            yield from alike


def _of_bank(name: str) -> tuple[str, str]:
    """The prefix before `.experts.` and what comes after the number; the name without one."""
    head, dot, tail = name.partition(EXPERTS)
    number, _, rest = tail.partition(".")
    return (head, rest) if dot and number.isdecimal() else (name, "")


def _size(checkpoint: Checkpoint, head: str) -> int:
    """The number of experts in a bank whose numbers start at 0; 0 for another one."""
    numbers = checkpoint.expert_numbers.get(head, frozenset())
    return len(numbers) if numbers == set(map(str, range(len(numbers)))) else 0
