"""Byte-preserving edits of a JSON text: rename strings, remove members; nothing else moves."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from ckptfix.jsontext.locate import located, member_at
from ckptfix.jsontext.spans import TextEdit
from ckptfix.jsontext.text import JsonText, Member, Path

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.*-]*")
"""Needs no escape in JSON."""


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
        removals: paths of members and elements to remove with their comma.
        additions: path of an object member or string element that stays -> names that are added
            after it, with the same value and the same white space.
    """
    removed = set(removals)
    spans = located(document, [*renames, *(path for path in additions if path not in renames)])
    edits = []
    for path, new in renames.items():
        if path not in removed and (span := spans.get(path) or _name_at(document, path)):
            start, end = span
            edits.append(TextEdit(start, end, encode_like(document.text[start:end], new)))
    edits += _removals(document, removed)
    for path, names in additions.items():
        span = spans.get(path)
        member = member_at(document, path, span) if span else document.member(path)
        if member is not None:
            edits.append(_addition(document, member, names))
    # What is added after a member comes before the removal of those that follow it.
    return tuple(sorted(edits, key=attrgetter("start", "end")))


def _name_at(document: JsonText, path: Path) -> tuple[int, int] | None:
    """First and last character of a key or of a string in a list; None where there is none."""
    member = document.member(path)
    if member is None:
        return None
    is_key = isinstance(path[-1], str)
    return (member.start, member.key_end) if is_key else (member.value_start, member.end)


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
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
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
