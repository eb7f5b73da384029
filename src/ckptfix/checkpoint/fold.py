"""Banks of experts that are all stored and named alike, each folded into its first expert.

In a checkpoint with a million tensors, almost all belong to experts that differ only in their
index. What is true of the first is true of each, so it is enough to look at the first; a bank in
which one expert differs, by a tensor, a shape, an entry or a pattern, is left as it is.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from ckptfix.checkpoint.dialects.interface import Documents, NameList
from ckptfix.checkpoint.dialects.registry import name_lists
from ckptfix.checkpoint.dialects.statements import LeftOut
from ckptfix.checkpoint.expert_banks import EXPERTS, bank_sizes, expert_blocks, without_others
from ckptfix.checkpoint.safetensors import Header
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.jsontext.text import Path
from ckptfix.names import is_regex

_DIGITS: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Fold:
    """A checkpoint with fewer experts."""

    table: TensorTable
    left_out: LeftOut
    """Names of experts."""


def fold_banks(table: TensorTable, documents: Documents) -> Fold | None:
    """The checkpoint without all but the first expert of regular banks, None if it has to stay.

    A bank is regular when its experts are numbered from 0, which comes first, and all alike. Only
    banks of one size are folded, the usual one, in tensors and metadata alike: a layer of 512
    experts of which the metadata names 256 must not look complete.

    Raises:
        CkptfixError: as `registry.dialect_of`.
    """
    if table.missing or table.unindexed:
        return None
    names = list(chain.from_iterable(table.headers.values()))
    stored = list(chain.from_iterable(header.values() for header in table.headers.values()))
    blocks = list(expert_blocks(names))
    sizes = bank_sizes(blocks, stored)
    size = _usual(sizes.values())
    if size < 2:
        return None
    left_out: dict[tuple[str, Path], Set[str]] = {}
    seen: list[tuple[Mapping[str, Any] | list[Any], Set[str]]] = []
    for named in name_lists(documents):
        # Both files usually say the same, which is quicker to see than to fold.
        same = (unread for before, unread in seen if before == named.names)
        unread = next(same, None) or _left_out(named, size)
        if unread is None:
            return None
        left_out[named.file, named.path] = unread
        seen.append((named.names, unread))
    kept = without_others(names, blocks, {head for head in sizes if sizes[head] == size})
    return Fold(replace(table, headers=_only(kept, table.headers)), left_out)


def _only(kept: Sequence[str], headers: Mapping[str, Header]) -> dict[str, Header]:
    """The headers with some of their tensors, which are named in the order of the headers."""
    left = deque(kept)
    small: dict[str, Header] = {}
    for file, header in headers.items():
        small[file] = {}
        while left and left[0] in header:
            name = left.popleft()
            small[file][name] = header[name]
    return small


def _usual(sizes: Iterable[int]) -> int:
    return max(Counter(size for size in sizes if size).items(), key=lambda c: c[1], default=(0,))[0]


def _left_out(listed: NameList, size: int) -> Set[str] | None:
    """Names of experts that say what the first expert's names say.

    None where a list may treat experts differently.
    """
    named = listed.names
    names = list(named)
    is_list = isinstance(named, list)
    if is_list and (set(map(type, names)) - {str} or len(set(names)) < len(names)):
        return None
    blocks = list(expert_blocks(names))
    said = [None] * len(names) if isinstance(named, list) else list(named.values())
    folded = {head for head, number in bank_sizes(blocks, said).items() if number == size}
    kept = without_others(names, blocks, folded)
    rest = (name for name in kept if name.partition(EXPERTS)[0] not in folded)
    if (is_list or listed.are_patterns) and any(map(_may_tell_experts_apart, rest)):
        return None
    return set(names).difference(kept) if len(kept) < len(names) else frozenset()


def _may_tell_experts_apart(pattern: str) -> bool:
    """True unless it is certain that no expert number decides whether the pattern matches.

    Patterns are taken for names, shell patterns, parts of names or regular expressions. Digits
    decide nothing where what stands before them cannot stand before an expert's number.
    """
    if is_regex(pattern) or ".." in pattern or any(special in pattern for special in "?[\\"):
        return True
    for digits in _DIGITS.finditer(pattern):
        before = pattern[: digits.start()].rpartition("*")[2]
        if EXPERTS.endswith(before) or before.endswith(EXPERTS):
            return True
    return False
