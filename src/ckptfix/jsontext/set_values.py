"""Edits that set values in a JSON text, in the text's own indentation; nothing else moves."""

import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ckptfix.jsontext.spans import TextEdit
from ckptfix.jsontext.text import JsonText, Member, Path

_INDENT: Final = re.compile(r"\n([ \t]*)\Z")


def set_values(
    document: JsonText,
    settings: Mapping[Path, object],
    appended: Mapping[Path, Sequence[object]] = MappingProxyType({}),
) -> tuple[TextEdit, ...]:
    """The edits, in the order of the text and without overlaps.

    Args:
        document: the text to edit.
        settings: path of an object member -> its new value; a missing member is added after the
            others of its object, which must exist. No path is a prefix of another.
        appended: path of an existing array -> values to append, which may be none.
    """
    edits = []
    new: dict[Path, dict[str, object]] = {}
    for path, value in settings.items():
        member = document.member(path)
        if member is None:
            new.setdefault(path[:-1], {})[str(path[-1])] = value
        else:
            text = _dump(value, _indent_of(document, member), _step(document), _gap(document))
            edits.append(TextEdit(member.value_start, member.end, text))
    for parent, members in new.items():
        edits.append(_extension(document, parent, members))
    for parent, values in appended.items():
        if values:
            edits.append(_extension(document, parent, values))
    return tuple(sorted(edits, key=lambda edit: (edit.start, edit.end)))


def _extension(
    document: JsonText, parent: Path, added: Mapping[str, object] | Sequence[object]
) -> TextEdit:
    """Members or elements appended to a container."""
    children = document.children(parent)
    step, gap = _step(document), _gap(document)
    if children:
        before = document.space_before(children[-1].start)
        indent = _indent_of(document, children[-1])
        start = end = children[-1].end
        head, tail = f",{before or gap}", ""
    else:
        start, end = document.inside(parent)
        whole = document.member(parent)
        outer = _indent_of(document, whole) if whole else ""
        indent = None if step is None or outer is None else outer + step
        before = "" if indent is None else f"\n{indent}"
        head, tail = before, "" if indent is None else f"\n{outer}"
    texts = (
        [f"{json.dumps(k)}:{gap}{_dump(v, indent, step, gap)}" for k, v in added.items()]
        if isinstance(added, Mapping)
        else [_dump(value, indent, step, gap) for value in added]
    )
    return TextEdit(start, end, head + f",{before or gap}".join(texts) + tail)


def _indent_of(document: JsonText, member: Member) -> str | None:
    """White space at the beginning of the member's line; None if it shares its line."""
    line_start = document.text.rfind("\n", 0, member.start)
    found = _INDENT.search(document.text[max(line_start, 0) : member.start])
    return found[1] if found else None


def _step(document: JsonText) -> str | None:
    """One level of indentation, that of the first member; None for a text on one line."""
    first = next(iter(document.children(())), None)
    return "    " if first is None else _indent_of(document, first)


def _gap(document: JsonText) -> str:
    """The text after a colon: a space, or nothing in compact JSON."""
    return "" if document.children(()) and not re.search(r'": ', document.text) else " "


def _dump(value: object, indent: str | None, step: str | None, gap: str) -> str:
    if indent is None or step is None:
        return json.dumps(value, separators=(f",{gap}", f":{gap}"))
    made = json.dumps(value, indent=step, separators=(",", f":{gap}"))
    return made.replace("\n", f"\n{indent}")
