"""Positions of many strings of one object or list, found by their text in one pass.

A container of a hundred thousand names is not scanned member by member: in text without backslashes
a name can only be written in one way, so if a name is found once, that is the match. Everything
else is left to `JsonText.member`.
"""

import re
from collections.abc import Collection, Iterable
from itertools import takewhile
from typing import Any, Final

from ckptfix.jsontext.text import DECODER, JsonText, Member, Path, after_space

_FEW: Final = 8
"""Number of names in one container that do not justify a separate pass, unless it is large."""
_LARGE: Final = 1_000


def located(document: JsonText, paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """First and last character of keys and of strings in lists, with their quotes.

    Args:
        document: the text.
        paths: of members of objects, or of strings in lists; some may be missing in the result.
    """
    parents: dict[Path, list[Path]] = {}
    for path in paths:
        parents.setdefault(path[:-1], []).append(path)
    found: dict[Path, tuple[int, int]] = {}
    for parent, below in parents.items():
        each = _located(document, parent, below)
        found = found | each if found else each  # nearly always all paths have one parent
    return found


def _located(
    document: JsonText, parent: Path, paths: Collection[Path]
) -> dict[Path, tuple[int, int]]:
    holder: Any = document.value
    for key in parent:
        holder = holder[key]
    if len(paths) <= _FEW and len(holder) <= _LARGE:
        return {}
    start, end = document.inside(parent)
    text = document.text
    if text.find("\\", start, end) >= 0:
        return {}
    if isinstance(holder, dict):
        targets = {path[-1]: path for path in paths if path[-1] in holder}
    else:
        targets = {holder[path[-1]]: path for path in paths}
    if len(targets) < len(paths) or not all(isinstance(name, str) for name in targets):
        return {}
    behind = ": \t\r\n" if isinstance(holder, dict) else ",] \t\r\n"
    found: dict[Path, tuple[int, int]] = {}
    prefix = re.escape(_common_beginning(list(map(str, targets))))
    for match in re.compile(f'"({prefix}[^"]*)"').finditer(text, start, end):
        path = targets.get(match[1])
        if path is not None:
            if path in found or text[match.end()] not in behind:
                return {}
            found[path] = match.span()
    return found


def _common_beginning(names: Collection[str]) -> str:
    pairs = zip(min(names), max(names), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def member_at(document: JsonText, path: Path, span: tuple[int, int]) -> Member:
    """The whole of a member whose key, or string, is located."""
    start, end = span
    if not isinstance(path[-1], str):
        return Member(path, start, start, start, end)
    value_start = after_space(document.text, after_space(document.text, end) + 1)
    _, value_end = DECODER.raw_decode(document.text, value_start)
    return Member(path, start, end, value_start, value_end)
