"""Banks of identical experts, each folded into its first expert.

In a checkpoint with a million tensors, almost all belong to experts that differ only in their
index. What holds for the first holds for each, so it is enough to check the first; a bank in
which one expert differs, by a tensor, a shape, an entry or a pattern, is left as it is.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate, chain, repeat
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.dialects.interface import Documents, NameList
from ckptfix.checkpoint.dialects.registry import name_lists
from ckptfix.checkpoint.expert_banks import (
    EXPERTS,
    Banks,
    Block,
    bank_sizes,
    comes_first,
    expert_blocks,
    without_others,
)
from ckptfix.checkpoint.expert_patterns import may_tell_experts_apart
from ckptfix.checkpoint.safetensors import Header
from ckptfix.checkpoint.tensor_table import TensorTable
from ckptfix.jsontext.text import JsonText, Path, pointer
from ckptfix.names import is_regex
from ckptfix.place import Place

_DIGITS: Final = re.compile(r"\d+")
_SPECIAL: Final = "*?[\\"
_MOST_LEFT: Final = 64
"""Banks that are left unfolded; each is compared with the name of every other one."""


class Fold(Struct, frozen=True, dict=True):
    """A checkpoint with fewer experts."""

    table: TensorTable
    documents: Documents
    """The metadata files, with the names of expert 0 only; their text is not that of the files."""
    banks: Banks
    positions: Mapping[tuple[str, Path], Sequence[int]]
    """(file, path of a shortened list) -> positions of the remaining names in the whole list."""
    found: "tuple[_Names, ...]"
    """The names of the whole checkpoint."""

    @cached_property
    def keeps_order(self) -> bool:
        """True if findings about experts concern expert 0 first."""
        unlike = {id(found): found for found in self.found}.values()
        return all(comes_first(f.names, f.blocks, self.banks.heads) for f in unlike)

    def place(self, place: Place) -> Place:
        """The place in the whole file for a place in a folded one."""
        head, _, last = (place.pointer or "").rpartition("/")
        for (file, path), positions in self.positions.items():
            if file == place.file and last.isdigit() and head == pointer(path):
                return dataclasses.replace(place, pointer=f"{head}/{positions[int(last)]}")
        return place


class _Names(Struct, frozen=True):
    """Names in their order, and the positions of banks."""

    names: Sequence[str]
    blocks: Sequence[Block]
    sizes: Mapping[str, int]
    """Head of a bank -> number of its experts, 0 if it is not regular."""


def fold_banks(table: TensorTable, documents: Documents) -> Fold | None:
    """The checkpoint with only the first expert of regular banks; None if it must not be folded.

    Only banks of one size are folded, the most frequent one, in both tensors and metadata: a layer
    of 512 experts of which the metadata names 256 must not look complete. Which bank a name in the
    metadata means depends on its spelling, but spellings keep the numbers of layers: a bank stays
    whole everywhere if one with the same numbers does somewhere.
    """
    if table.missing or table.unindexed:
        return None
    stored = _tensor_names(table)
    size = _usual(stored.sizes.values())
    if size < 2:
        return None
    lists = list(_listed(documents))
    heads = _foldable(size, [stored, *(named for _, named in lists)])
    if not heads or any(map(partial(_may_tell_apart, heads), lists)):
        return None
    values, positions = _left_values(documents, lists, heads)
    small = {
        file: JsonText(file, json.dumps(values[file]).encode(), values[file])
        if file in values
        else document
        for file, document in documents.items()
    }
    return Fold(
        replace(table, headers=_left_headers(table.headers, stored, heads)),
        small,
        Banks(heads, size),
        positions,
        (stored, *(named for _, named in lists)),
    )


def _usual(sizes: Iterable[int]) -> int:
    return max(Counter(size for size in sizes if size).items(), key=lambda c: c[1], default=(0,))[0]


def _tensor_names(table: TensorTable) -> _Names:
    headers = list(table.headers.values())
    names = list(chain.from_iterable(headers))
    blocks = expert_blocks(names)
    ends = list(accumulate(map(len, headers)))
    file_at = dict(zip((b.start for b in blocks), _files_at(blocks, ends), strict=True))

    def lookup(parts: Sequence[Block], wanted: Iterable[str]) -> list[Any]:
        wanted = list(wanted)
        files = {number for block in parts for number in range(*file_at[block.start])}
        found, *more = (list(map(headers[number].get, wanted)) for number in sorted(files))
        for other in more:
            found = [one or two for one, two in zip(found, other, strict=True)]
        return found

    sizes = bank_sizes(names, blocks, lookup)
    heads = {block.head: block for block in blocks}
    # A tensor with the name of an expert is not part of one.
    parts = {h: n for h, n in sizes.items() if lookup([heads[h]], [f"{h}{EXPERTS}0"]) == [None]}
    return _Names(names, blocks, dict.fromkeys(sizes, 0) | parts)


def _files_at(blocks: Iterable[Block], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The numbers of the files in which each block lies, half-open; a block may span files."""
    file = 0
    for block in blocks:
        while ends[file] <= block.start:
            file += 1
        last = file
        while ends[last] < block.end:
            last += 1
        yield file, last + 1


def _listed(documents: Documents) -> Iterator[tuple[NameList, _Names]]:
    seen: list[tuple[Mapping[str, Any] | list[Any], _Names]] = []
    for named in name_lists(documents):
        # Both files are usually equal, which is faster to check than finding the banks.
        same = (found for before, found in seen if before == named.names)
        found = next(same, None) or _names_in(named)
        seen.append((named.names, found))
        yield named, found


def _names_in(named: NameList) -> _Names:
    names: list[str] = [name for name in named.names if isinstance(name, str)]
    values: Mapping[str, Any] = (
        named.names if isinstance(named.names, Mapping) else dict.fromkeys(names, True)
    )
    experts = names
    if _has_patterns(named):  # which name no expert, whatever they look like
        experts = ["" if _is_pattern(name) else name for name in names]
    blocks = expert_blocks(experts)

    def lookup(_: Sequence[Block], keys: Iterable[str]) -> list[Any]:
        return list(map(values.get, keys, repeat(values)))  # null is a valid value

    return _Names(names, blocks, bank_sizes(names, blocks, lookup))


def _has_patterns(named: NameList) -> bool:
    return named.are_patterns or not isinstance(named.names, Mapping)


def _is_pattern(name: str) -> bool:
    return is_regex(name) or any(map(name.count, _SPECIAL))


def _foldable(size: int, everywhere: Iterable[_Names]) -> frozenset[str]:
    """Heads of the banks that are regular in every file."""
    heads: set[str] = set()
    left: set[str] = set()
    for named in everywhere:
        for head, number in named.sizes.items():
            (heads if number == size else left).add(head)
    if len(left) > _MOST_LEFT:
        return frozenset()
    numbers = set(map(_numbers, left))
    if "" in numbers:
        return frozenset()
    return frozenset(h for h in heads if not any(n in _numbers(h) for n in numbers))


def _numbers(head: str) -> str:
    """The numbers in a name, each between dots; empty if it has none."""
    numbers = _DIGITS.findall(head)
    return f".{'.'.join(numbers)}." if numbers else ""


def _may_tell_apart(heads: frozenset[str], listed: tuple[NameList, _Names]) -> bool:
    """True for a list that may treat the experts of a folded bank differently."""
    named, found = listed
    if not _has_patterns(named):
        return False
    if len(found.names) < len(named.names) or len(set(found.names)) < len(found.names):
        return True
    return any(
        may_tell_experts_apart(name)
        for name in found.names
        if _is_pattern(name)
        or (
            (head := name.partition(EXPERTS)[0]) not in heads
            and not (head in found.sizes and name[:1].isalpha())
        )
    )


def _left_headers(
    headers: Mapping[str, Header], stored: _Names, heads: frozenset[str]
) -> dict[str, Header]:
    left = without_others(stored.names, stored.blocks, heads)
    small: dict[str, Header] = {}
    position, name = next(left, (-1, ""))
    end = 0
    for file, header in headers.items():
        end += len(header)
        small[file] = {}
        while 0 <= position < end:
            small[file][name] = header[name]
            position, name = next(left, (-1, ""))
    return small


def _left_values(
    documents: Documents, lists: Iterable[tuple[NameList, _Names]], heads: frozenset[str]
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, Path], Sequence[int]]]:
    """The value of every file with fewer names, and the old positions of the rest of each list."""
    values: dict[str, dict[str, Any]] = {}
    positions: dict[tuple[str, Path], Sequence[int]] = {}
    for named, found in lists:
        if heads.isdisjoint(found.sizes):
            continue
        left = list(without_others(found.names, found.blocks, heads))
        new: object = [name for _, name in left]
        if isinstance(named.names, Mapping):
            new = {name: named.names[name] for _, name in left}
        else:
            positions[named.file, named.path] = [position for position, _ in left]
        value = values.get(named.file, documents[named.file].value)
        values[named.file] = _with(value, named.path, new)
    return values, positions


def _with(value: Any, path: Path, new: object) -> Any:  # noqa: ANN401 - JSON
    """The value with a new one at an existing path."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(value, list):
        return [_with(v, rest, new) if at == key else v for at, v in enumerate(value)]
    return {**value, key: _with(value[key], rest, new)}
