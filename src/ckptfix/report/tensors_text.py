"""`rewrite --tensors` for people."""

from collections import Counter
from collections.abc import Iterator, Mapping

from ckptfix.report.console import count, line
from ckptfix.report.folding import fold_names, mask_numbers
from ckptfix.report.layout import Line, Table, table
from ckptfix.rewriting.tensors.plan import TensorChanges
from ckptfix.text import visible


def tensor_diff_lines(tensors: TensorChanges) -> Iterator[Line]:
    """Every rename as a removed and an added line; names that differ in numbers are folded.

    `git apply` skips these lines, because they do not start a hunk.
    """
    similar: dict[tuple[str, str], dict[str, str]] = {}
    files: dict[tuple[str, str], set[str]] = {}
    for shard in tensors.shards:
        for old, new in shard.renames.items():
            key = mask_numbers(old), mask_numbers(new)
            similar.setdefault(key, {})[old] = new
            files.setdefault(key, set()).add(shard.file)
    shown = ""
    for key, renames in similar.items():
        where = sorted(files[key])
        file = visible(where[0]) if len(where) == 1 else count(len(where), "shard file")
        if file != shown:
            yield line((f"tensors of {file}", "bold"))
            shown = file
        yield line((f"- {visible(fold_names(renames))}", "red"))
        yield line((f"+ {visible(fold_names(renames.values()))}", "green"))


def tensor_tables(tensors: TensorChanges, copied: Mapping[str, str] | None) -> Iterator[Table]:
    """How many names in which files, and how they are written.

    Args:
        tensors: what is written.
        copied: shard file -> why it is copied; None if all are copied into another directory.
    """
    if not tensors.shards:
        return
    number = sum(len(shard.renames) for shard in tensors.shards)
    rows = [("  tensors", f"{count(number, 'name')} changed")]
    if tensors.index is not None:
        rows.append((f"  {tensors.index.file}", f"{count(tensors.index.renamed, 'name')} changed"))
    if copied is not None:
        in_place = [shard for shard in tensors.shards if shard.file not in copied]
        if in_place:
            rows.append(
                (f"  {_files(len(in_place))}", "header edited in place; tensor data untouched")
            )
        reasons = Counter(copied.values())
        rows += [(f"  {_files(n)}", f"copied, because {why}") for why, n in reasons.items()]
    yield table(rows, head=False)


def _files(number: int) -> str:
    return count(number, "shard file")


def no_tensor_lines(origin: str) -> Iterator[Line]:
    """No tensor has a name to change."""
    yield line(f"no tensor to rename (name map: {visible(origin)})")
