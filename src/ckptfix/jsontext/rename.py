"""Byte-preserving edits of a JSON text: rename strings, remove members; nothing else moves."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from ckptfix.jsontext.spans import TextEdit
from ckptfix.jsontext.text import JsonText, Member, Path


def edit_json(
    document: JsonText,
    renames: Mapping[Path, str],
    removals: Iterable[Path],
    additions: Mapping[Path, Sequence[str]] = MappingProxyType({}),
) -> tuple[TextEdit, ...]:
    """The edits, in the order of the text and without overlaps.

    Args:
        document: the text to edit.
        renames: path of an object member (its key is renamed) or of a string element -> new text.
        removals: paths of members and elements to take out with their comma.
        additions: path of an object member or string element that stays -> names that are added
            behind it, with the same value and the same white space.
    """
    removed = set(removals)
    edits = [
        _rename(document, member, new)
        for path, new in renames.items()
        if path not in removed and (member := document.member(path))
    ]
    edits += _removals(document, removed)
    edits += [
        _addition(document, member, names)
        for path, names in additions.items()
        if (member := document.member(path))
    ]
    # What is added behind a member comes before the removal of those that follow it.
    return tuple(sorted(edits, key=lambda edit: (edit.start, edit.end)))


def _rename(document: JsonText, member: Member, new: str) -> TextEdit:
    is_key = isinstance(member.path[-1], str)
    start, end = (member.start, member.key_end) if is_key else (member.value_start, member.end)
    return TextEdit(start, end, encode_like(document.text[start:end], new))


def _addition(document: JsonText, member: Member, names: Sequence[str]) -> TextEdit:
    space = document.space_before(member.start)
    if not isinstance(member.path[-1], str):
        old = document.text[member.value_start : member.end]
        added = [encode_like(old, name) for name in names]
    else:
        old = document.text[member.start : member.key_end]
        value = document.text[member.key_end : member.end]
        added = [encode_like(old, name) + value for name in names]
    return TextEdit(member.end, member.end, "".join(f",{space}{text}" for text in added))


def encode_like(replaced: str, text: str) -> str:
    """A JSON string that escapes non-ASCII characters if the string it replaces did."""
    lone_surrogate = any("\ud800" <= c <= "\udfff" for c in text)
    return json.dumps(text, ensure_ascii=replaced.isascii() or lone_surrogate)


def _removals(document: JsonText, removed: set[Path]) -> list[TextEdit]:
    edits: list[TextEdit] = []
    parents = {path[:-1] for path in removed}
    for parent in sorted(parents, key=str):
        edits += _remove_from(document, parent, document.children(parent), removed)
    return edits


def _remove_from(
    document: JsonText, parent: Path, members: Sequence[Member], removed: set[Path]
) -> list[TextEdit]:
    runs = [
        (gone, list(run))
        for gone, run in groupby(members, key=lambda member: member.path in removed)
    ]
    if len(runs) == 1:
        start, end = document.inside(parent)
        return [TextEdit(start, end, "")]
    edits = []
    for position, (gone, run) in enumerate(runs):
        if not gone:
            continue
        if position + 1 < len(runs):
            edits.append(TextEdit(run[0].start, runs[position + 1][1][0].start, ""))
        else:
            edits.append(TextEdit(runs[position - 1][1][-1].end, run[-1].end, ""))
    return edits
