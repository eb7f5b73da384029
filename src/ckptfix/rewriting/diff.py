"""Unified diffs that `git apply` takes, made from the edits themselves.

The edits are known, so no lines are compared: a file of a million lines costs one pass.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from ckptfix.jsontext.spans import TextEdit, apply_edits
from ckptfix.rewriting.plan import FileChange

CONTEXT_LINES = 3
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")


class _Block(NamedTuple):
    """Old lines `start` to `end` (0-based, half-open) and their replacement."""

    start: int
    end: int
    new: tuple[str, ...]


def unified_diff(change: FileChange) -> str:
    """The patch for one file, relative to the checkpoint directory."""
    lines = _lines(change.before)
    blocks = _blocks(change.before, lines, change.edits)
    parts = [f"--- a/{change.file}\n+++ b/{change.file}\n"]
    shift = 0
    for hunk in _hunks(blocks):
        text, shift = _render(lines, hunk, shift)
        parts += text
    return "".join(parts)


def _lines(text: str) -> list[str]:
    return _LINE.findall(text)


def _blocks(text: str, lines: list[str], edits: Sequence[TextEdit]) -> list[_Block]:
    starts = list(accumulate(map(len, lines), initial=0))
    spans: list[tuple[int, int, list[TextEdit]]] = []
    current = 0
    for edit in edits:
        current = bisect_right(starts, edit.start, current) - 1
        # An edit that removes a line break joins the next line to this one.
        end = min(current + 1, len(lines))
        if edit.end >= starts[end]:
            end = min(bisect_right(starts, edit.end, end), len(lines))
        if spans and current <= spans[-1][1]:
            first, earlier, group = spans.pop()
            group.append(edit)
            spans.append((first, max(earlier, end), group))
        else:
            spans.append((current, end, [edit]))
    blocks = []
    for first, end, group in spans:
        offset = starts[first]
        if len(group) == 1 and end == first + 1 and "\n" not in group[0].text:
            edit, line = group[0], lines[first]  # as nearly all are
            new_line = line[: edit.start - offset] + edit.text + line[edit.end - offset :]
            blocks.append(_Block(first, end, (new_line,)))
            continue
        local = [TextEdit(e.start - offset, e.end - offset, e.text) for e in group]
        new = _lines(apply_edits(text[offset : starts[end]], local))
        blocks.append(_trimmed(lines, _Block(first, end, tuple(new))))
    return blocks


def _trimmed(lines: Sequence[str], block: _Block) -> _Block:
    """Without unchanged lines at both ends of an edit."""
    start, end, first, last = block.start, block.end, 0, len(block.new)
    while start < end and first < last and lines[start] == block.new[first]:
        start, first = start + 1, first + 1
    while start < end and first < last and lines[end - 1] == block.new[last - 1]:
        end, last = end - 1, last - 1
    return _Block(start, end, block.new[first:last])


def _hunks(blocks: list[_Block]) -> Iterator[list[_Block]]:
    hunk: list[_Block] = []
    for block in blocks:
        if hunk and block.start - hunk[-1].end > 2 * CONTEXT_LINES:
            yield hunk
            hunk = []
        hunk.append(block)
    if hunk:
        yield hunk


def _render(lines: list[str], hunk: list[_Block], shift: int) -> tuple[list[str], int]:
    """The text of a hunk in pieces, and by how much later lines have moved."""
    start = max(0, hunk[0].start - CONTEXT_LINES)
    end = min(len(lines), hunk[-1].end + CONTEXT_LINES)
    body: list[str] = []
    position = start
    grown = 0
    for block in hunk:
        if position < block.start:
            body.append(_marked(" ", lines[position : block.start]))
        if len(block.new) == 1 and block.end == block.start + 1 < len(lines):
            body.append(f"-{lines[block.start]}+{block.new[0]}")  # as nearly all are
        else:
            body.append(_marked("-", lines[block.start : block.end]))
            body.append(_marked("+", block.new))
        position = block.end
        grown += len(block.new) - (block.end - block.start)
    body.append(_marked(" ", lines[position:end]))
    old, new = end - start, end - start + grown
    header = f"@@ -{_range(start, old)} +{_range(start + shift, new)} @@\n"
    return [header, *body], shift + grown


def _range(start: int, count: int) -> str:
    return f"{start if count == 0 else start + 1},{count}"


def _marked(mark: str, lines: Sequence[str]) -> str:
    """Lines after a marker; only the last line of a file can lack its line break."""
    if not lines:
        return ""
    text = mark + (lines[0] if len(lines) == 1 else mark.join(lines))
    return text if text[-1] == "\n" else f"{text}\n\\ No newline at end of file\n"
