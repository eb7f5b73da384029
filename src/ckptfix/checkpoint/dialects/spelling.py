"""How dialects declare modules by name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ckptfix.checkpoint.dialects.changes import Changes
from ckptfix.checkpoint.dialects.interface import Speller, SpellingTask, Wanted
from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.jsontext.text import Path


def leave_out(changes: Changes, path: Path, present: object, wanted: Iterable[Wanted]) -> None:
    """Add the names of unquantized modules to a list.

    Args:
        changes: they are added to it.
        path: of the list, whether it exists or not.
        present: its current content.
        wanted: modules of every kind.
    """
    listed = present if isinstance(present, list) else []
    names = [name for each in wanted if each.layer is None for name in each.names]
    changes.add_to(path, present, [n for n in dict.fromkeys(names) if n not in listed])


def set_members(
    changes: Changes, path: Path, present: object, members: Mapping[str, object]
) -> None:
    """Add members to an object, which is created if missing."""
    if isinstance(present, dict):
        for key, value in members.items():
            changes.set((*path, key), value)
    elif members:
        changes.set(path, dict(members), statements=len(members))


def quantized(wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, str, int | None]]:
    """The quantized modules with quant_algo and group size."""
    for each in wanted:
        if each.layer is not None:
            yield each, each.layer.quant_algo, each.layer.group_size


def like(statements: Iterable[Statement], algo: str, size: int | None) -> Statement | None:
    """The first statement with this scheme; two missing sizes are equal."""
    for statement in statements:
        sizes = {statement.group_size, size} - {None}
        if statement.quant_algo == algo and len(sizes) < 2:
            return statement
    return None


def _add_to_skip_list(changes: Changes, task: SpellingTask) -> None:
    path = task.metadata.exclude_list
    leave_out(changes, path, task.value.get(str(path[-1])), task.wanted)


SKIP_LIST: Final = Speller(_add_to_skip_list)
"""For dialects that name only what is left unquantized, in one list."""
