"""Names of experts by bank: which banks are regular, and which of their names remain.

Most banks equal an earlier one, so each is compared as a whole, not name by name. The files of a
sharded checkpoint contain the tensors of one dtype after the other, and a bank may begin in one
file and end in the next, so a bank is defined by its head, wherever its names are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from msgspec import Struct

EXPERTS: Final = ".experts."
_KINDS_TRIED: Final = 4
"""Banks that a bank is compared with before its names are compared individually."""


class Banks(Struct, frozen=True):
    """Banks of which only expert 0 is left: it represents all, which are numbered from 0."""

    heads: frozenset[str]
    """The prefix before `.experts.` in names of tensors or metadata."""
    size: int
    """Experts of each bank."""

    def number(self, name: str) -> int:
        """How many names a name represents: the experts of its bank, 1 for any other name."""
        return self.size if self.has(name) else 1

    def has(self, name: str) -> bool:
        """True for a name of expert 0 of one of the banks."""
        head, dot, tail = name.partition(EXPERTS)
        return bool(dot) and head in self.heads and (tail == "0" or tail.startswith("0."))

    def names(self, name: str) -> Iterator[str]:
        """The names that a name represents."""
        if not self.has(name):
            yield name
            return
        head, dot, tail = name.partition(EXPERTS)
        yield from (f"{head}{dot}{number}{tail[1:]}" for number in range(self.size))


class Block(NamedTuple):
    """A contiguous run of names of one bank."""

    start: int
    end: int
    """One past the last."""
    head: str
    """The prefix before `.experts.`."""


def expert_blocks(names: Sequence[str]) -> list[Block]:
    """All names of experts, in order."""
    blocks = []
    at, last = 0, len(names)
    while at < last:
        head, dot, _ = names[at].partition(EXPERTS)
        end = at + 1
        if dot:
            prefix = head + EXPERTS
            while end < last and names[end].startswith(prefix):
                end += 1
            blocks.append(Block(at, end, head))
        at = end
    return blocks


class _Kind(Struct, frozen=True):
    """A regular bank that others are compared with."""

    template: str
    """Its names with NUL as the prefix before the expert's number, one per line."""
    values: list[Any]
    """The value of each."""
    size: int


Lookup = Callable[[Sequence[Block], Iterable[str]], list[Any]]
"""(blocks of a bank, names) -> the value of each name, None if it has none."""


def bank_sizes(names: Sequence[str], blocks: Iterable[Block], lookup: Lookup) -> dict[str, int]:
    """Head of a bank -> number of its experts, 0 if the bank is not regular.

    A bank is regular if its experts are numbered from 0 in order, and all equal.

    Args:
        names: each once.
        blocks: of the names.
        lookup: the values of names.
    """
    banks: dict[str, list[Block]] = {}
    for block in blocks:
        banks.setdefault(block.head, []).append(block)
    known: dict[int, list[_Kind]] = {}
    sizes: dict[str, int] = {}
    for head, parts in banks.items():
        prefix, number = head + EXPERTS, sum(block.end - block.start for block in parts)
        kinds = known.setdefault(number, [])
        first = names[parts[0].start]
        starts = first.startswith(f"{prefix}0.") or first == f"{prefix}0"
        like = (kind for kind in islice(reversed(kinds), _KINDS_TRIED) if starts)
        size = next((kind.size for kind in like if _is_like(kind, prefix, parts, lookup)), 0)
        if not size and starts:
            own = list(chain.from_iterable(names[block.start : block.end] for block in parts))
            values = lookup(parts, own)
            size = _size(own, len(prefix), values)
            template = "\n".join(own)
            if size and template.count(prefix) == number == template.count("\n") + 1:
                kinds.append(_Kind(template.replace(prefix, "\0"), values, size))
        sizes[head] = size
    return sizes


def _is_like(kind: _Kind, prefix: str, parts: Sequence[Block], lookup: Lookup) -> bool:
    """True if a bank of as many names has the same names and values."""
    if "\0" in prefix or "\n" in prefix:
        return False
    return lookup(parts, kind.template.replace("\0", prefix).split("\n")) == kind.values


def _size(names: Iterable[str], length: int, values: Iterable[Any]) -> int:
    experts: dict[str, dict[str, Any]] = {}
    for name, value in zip(names, values, strict=True):
        number, _, part = name[length:].partition(".")
        experts.setdefault(number, {})[part] = value
    return len(experts) if _is_regular(experts) else 0


def _is_regular(experts: Mapping[str, Mapping[str, Any]]) -> bool:
    first, *others = experts.values()
    numbered = experts.keys() == {str(n) for n in range(len(experts))}
    return numbered and next(iter(experts)) == "0" and all(expert == first for expert in others)


def expert_numbers(names: Sequence[str]) -> dict[str, frozenset[str]]:
    """Head of a bank -> the labels of its experts, which should be numbers."""
    numbers: dict[str, set[str]] = {}
    for block in expert_blocks(names):
        length = len(block.head) + len(EXPERTS)
        tails = (name[length:] for name in names[block.start : block.end])
        found = numbers.setdefault(block.head, set())
        found.update(tail.partition(".")[0] for tail in tails if "." in tail)
    return {head: frozenset(found) for head, found in numbers.items()}


def without_others(
    names: Sequence[str], blocks: Iterable[Block], folded: Set[str]
) -> Iterator[tuple[int, str]]:
    """(position, name) of all names but those of experts after the first of the folded banks."""
    at = 0
    for block in blocks:
        if block.head in folded:
            yield from enumerate(names[at : block.start], at)
            first = f"{block.head}{EXPERTS}0."
            alone = first[:-1]
            for position in range(block.start, block.end):
                name = names[position]
                if name.startswith(first) or name == alone:
                    yield position, name
            at = block.end
    yield from enumerate(names[at:], at)


def comes_first(names: Sequence[str], blocks: Iterable[Block], folded: Set[str]) -> bool:
    """True if every part of a folded bank is named for expert 0 before it is for another expert.

    Then findings about the parts of expert 0 have the same order as those about all experts.
    """
    seen: dict[str, set[str]] = {}
    for block in blocks:
        if block.head in folded:
            length = len(block.head) + len(EXPERTS)
            parts = seen.setdefault(block.head, set())
            for name in names[block.start : block.end]:
                number, _, part = name[length:].partition(".")
                if number == "0":
                    parts.add(part)
                elif part not in parts:
                    return False
    return True
