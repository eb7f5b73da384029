"""Names of experts, bank by bank: which banks are regular, and the names left after folding them.

Most banks equal an earlier one, so each is compared as a whole, not name by name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Final, NamedTuple

EXPERTS: Final = ".experts."


@dataclass(frozen=True, eq=False)
class _Tails:
    """Suffixes after `.experts.` of one contiguous run of names; compared by identity."""

    tails: tuple[str, ...]
    text: str
    """The names with NUL as their prefix, one per line; empty if that would be ambiguous."""

    @cached_property
    def of_first(self) -> tuple[int, ...]:
        """Positions of the names of expert 0."""
        tails = enumerate(self.tails)
        return tuple(at for at, tail in tails if tail == "0" or tail.startswith("0."))


class Block(NamedTuple):
    """A contiguous run of names of one bank."""

    start: int
    head: str
    """The prefix before `.experts.`."""
    tails: _Tails
    """Equal blocks share it."""

    @property
    def end(self) -> int:
        """One past the last."""
        return self.start + len(self.tails.tails)


def expert_blocks(names: Sequence[str]) -> Iterator[Block]:
    """All names of experts, in order."""
    seen: dict[str, _Tails] = {}
    at, last = 0, len(names)
    while at < last:
        head, dot, tail = names[at].partition(EXPERTS)
        if not dot:
            at += 1
            continue
        prefix = head + EXPERTS
        tails = seen.get(tail)
        block = Block(at, head, tails) if tails else None
        if block is None or not _is_whole(block, names, prefix):
            end = at + 1
            while end < last and names[end].startswith(prefix):
                end += 1
            tails = seen[tail] = _tails(names[at:end], len(prefix))
            block = Block(at, head, tails)
        yield block
        at = block.end


def _is_whole(block: Block, names: Sequence[str], prefix: str) -> bool:
    end = block.end
    text = block.tails.text
    if not text or "\n".join(names[block.start : end]) != text.replace("\0", prefix):
        return False
    return end == len(names) or not names[end].startswith(prefix)


def _tails(names: Sequence[str], length: int) -> _Tails:
    tails = tuple(name[length:] for name in names)
    text = "\n".join(f"\0{tail}" for tail in tails)
    plain = text.count("\n") == len(tails) - 1 and text.count("\0") == len(tails)
    return _Tails(tails, text if plain else "")


def bank_sizes(blocks: Iterable[Block], values: Sequence[Any]) -> dict[str, int]:
    """Head of a bank -> number of its experts, 0 if the bank is not regular.

    Args:
        blocks: of the names.
        values: the value of each name.
    """
    banks: dict[str, list[Block]] = {}
    for block in blocks:
        banks.setdefault(block.head, []).append(block)
    sizes: dict[str, int] = {}
    seen: dict[tuple[_Tails, ...], tuple[list[Any], int]] = {}
    for head, parts in banks.items():
        key = tuple(block.tails for block in parts)
        said = list(chain.from_iterable(values[block.start : block.end] for block in parts))
        before = seen.get(key)
        if before is None or before[0] != said:
            names = chain.from_iterable(tails.tails for tails in key)
            before = seen[key] = said, _size(zip(names, said, strict=True))
        sizes[head] = before[1]
    return sizes


def expert_numbers(names: Sequence[str]) -> dict[str, frozenset[str]]:
    """Head of a bank -> the names of its experts, which should be numbers."""
    numbers: dict[str, frozenset[str]] = {}
    seen: dict[_Tails, frozenset[str]] = {}
    for block in expert_blocks(names):
        found = seen.get(block.tails)
        if found is None:
            found = frozenset(tail.partition(".")[0] for tail in block.tails.tails if "." in tail)
            seen[block.tails] = found
        before = numbers.get(block.head)
        numbers[block.head] = found if before is None else before | found
    return numbers


def _size(named: Iterable[tuple[str, Any]]) -> int:
    experts: dict[str, dict[str, Any]] = {}
    for tail, value in named:
        number, _, part = tail.partition(".")
        experts.setdefault(number, {})[part] = value
    return len(experts) if _is_regular(experts) else 0


def _is_regular(experts: Mapping[str, Mapping[str, Any]]) -> bool:
    """Numbered from 0 in order, and all equal."""
    first, *others = experts.values()
    numbered = experts.keys() == {str(n) for n in range(len(experts))}
    return numbered and next(iter(experts)) == "0" and all(expert == first for expert in others)


def without_others(names: Sequence[str], blocks: Iterable[Block], folded: Set[str]) -> list[str]:
    """The names, without those of all but the first expert of the folded banks."""
    kept: list[str] = []
    at = 0
    for block in blocks:
        if block.head in folded:
            kept += names[at : block.start]
            kept += [names[block.start + offset] for offset in block.tails.of_first]
            at = block.end
    return kept + list(names[at:])
