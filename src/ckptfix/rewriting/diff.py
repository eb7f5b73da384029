"""Unified diffs that `git apply` takes, made from the edits themselves.

The edits are known, so no lines are compared: a file of a million lines costs one pass, and neither
its lines nor those of the patch are in memory at once as strings of their own.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ckptfix.jsontext.spans import TextEdit, apply_edits
from ckptfix.rewriting.plan import FileChange

CONTEXT_LINES = 3
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_JOINED: Final = 1_000
"""Pieces of a patch that are joined to one part."""


class _Block(NamedTuple):
    """Whole lines of the old text, as characters `start` to `end`, and what replaces them."""

    start: int
    end: int
    new: str


def unified_diff(change: FileChange) -> str:
    """The patch for one file, relative to the checkpoint directory."""
    return "".join(diff_parts(change))


def diff_parts(change: FileChange) -> Iterator[str]:
    """The same in parts, each of which ends with a line."""
    yield f"--- a/{change.file}\n+++ b/{change.file}\n"
    text = change.before
    position = number = shift = 0
    for hunk in _hunks(text, _blocks(text, change.edits)):
        number += text.count("\n", position, hunk.start)
        position = hunk.start
        old = _lines_in(text, hunk.start, hunk.end)
        ranges = f"-{_range(number, old)} +{_range(number + shift, old + hunk.grown)}"
        yield f"@@ {ranges} @@\n"
        yield from hunk.body
        shift += hunk.grown


def _blocks(text: str, edits: Iterable[TextEdit]) -> Iterator[_Block]:
    """Edits of adjacent lines are one block."""
    start = end = -1
    alone: TextEdit | None = None
    group: list[TextEdit] = []
    for edit in edits:
        first = text.rfind("\n", 0, edit.start) + 1
        last = text.find("\n", edit.start) + 1 or len(text)
        within = edit.end < last
        if not within:  # an edit that removes a line break joins the next line to this one
            last = text.find("\n", edit.end) + 1 or len(text)
        if first <= end:
            alone, end = None, max(end, last)
            group.append(edit)
            continue
        if group:
            yield from _block(text, start, end, group, alone)
        start, end, group = first, last, [edit]
        alone = edit if within and "\n" not in edit.text else None
    if group:
        yield from _block(text, start, end, group, alone)


def _block(
    text: str, start: int, end: int, group: list[TextEdit], alone: TextEdit | None
) -> Iterator[_Block]:
    """The lines without those at both ends that stay; `alone` changes one, as nearly all do."""
    if alone is not None:
        new = f"{text[start : alone.start]}{alone.text}{text[alone.end : end]}"
        yield _Block(start, end, new)
        return
    local = [TextEdit(e.start - start, e.end - start, e.text) for e in group]
    old = _LINE.findall(text[start:end])
    made = _LINE.findall(apply_edits(text[start:end], local))
    while old and made and old[0] == made[0]:
        start += len(old.pop(0))
        made.pop(0)
    while old and made and old[-1] == made[-1]:
        end -= len(old.pop())
        made.pop()
    yield _Block(start, end, "".join(made))


class _Hunk(NamedTuple):
    """Characters `start` to `end` of the old text, with the lines around its blocks."""

    start: int
    end: int
    grown: int
    """How many lines the new text has more."""
    body: list[str]
    """Parts of the patch."""


def _hunks(text: str, blocks: Iterable[_Block]) -> Iterator[_Hunk]:
    start, position, grown = -1, 0, 0
    body: list[str] = []
    pieces: list[str] = []
    for block in blocks:
        if start >= 0 and text.count("\n", position, block.start) > 2 * CONTEXT_LINES:
            end = _after(text, position)
            body.append("".join((*pieces, _marked(" ", text[position:end]))))
            yield _Hunk(start, end, grown, body)
            start = -1
        if start < 0:
            start = position = _before(text, block.start)
            grown, body, pieces = 0, [], []
        pieces += (
            _marked(" ", text[position : block.start]),
            _marked("-", text[block.start : block.end]),
            _marked("+", block.new),
        )
        grown += _lines_in(block.new) - _lines_in(text, block.start, block.end)
        position = block.end
        if len(pieces) > _JOINED:
            body.append("".join(pieces))
            pieces = []
    if start >= 0:
        end = _after(text, position)
        body.append("".join((*pieces, _marked(" ", text[position:end]))))
        yield _Hunk(start, end, grown, body)


def _before(text: str, position: int) -> int:
    """The first character of the lines before a line."""
    for _ in range(CONTEXT_LINES):
        position = text.rfind("\n", 0, max(0, position - 1)) + 1
    return position


def _after(text: str, position: int) -> int:
    """One past the lines after a line."""
    for _ in range(CONTEXT_LINES):
        position = text.find("\n", position) + 1 or len(text)
    return position


def _lines_in(text: str, start: int = 0, end: int | None = None) -> int:
    """The number of lines; only the last line of a file can lack its line break."""
    end = len(text) if end is None else end
    return text.count("\n", start, end) + (end > start and text[end - 1] != "\n")


def _range(start: int, count: int) -> str:
    return f"{start if count == 0 else start + 1},{count}"


def _marked(mark: str, lines: str) -> str:
    """Lines after a marker."""
    if not lines:
        return ""
    if lines[-1] != "\n":
        return f"{mark}{lines.replace(chr(10), chr(10) + mark)}\n\\ No newline at end of file\n"
    if lines.find("\n") == len(lines) - 1:
        return mark + lines
    return f"{mark}{lines[:-1].replace(chr(10), chr(10) + mark)}\n"
