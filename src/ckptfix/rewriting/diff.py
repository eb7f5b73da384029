"""Unified diffs that `git apply` takes, made from the edits themselves.

The edits are known, so no lines are compared: a file of a million lines costs one pass.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ckptfix.jsontext.spans import TextEdit, apply_edits
from ckptfix.rewriting.plan import FileChange

CONTEXT_LINES = 3


@dataclass(frozen=True)
class _Block:
    """Old lines `start` to `end` (0-based, half-open) and what they become."""

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
        parts.append(text)
    return "".join(parts)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)


def _blocks(text: str, lines: list[str], edits: Sequence[TextEdit]) -> list[_Block]:
    starts = list(accumulate((len(line) for line in lines), initial=0))
    spans: list[tuple[int, int, list[TextEdit]]] = []
    current = 0
    for edit in edits:
        while starts[current + 1] <= edit.start:
            current += 1
        last = current
        # An edit that takes a line break joins the next line to this one.
        while last + 1 < len(lines) and starts[last + 1] <= edit.end:
            last += 1
        if spans and current <= spans[-1][1]:
            first, end, group = spans.pop()
            group.append(edit)
            spans.append((first, max(end, last + 1), group))
        else:
            spans.append((current, last + 1, [edit]))
    blocks = []
    for first, end, group in spans:
        offset = starts[first]
        local = [TextEdit(e.start - offset, e.end - offset, e.text) for e in group]
        new = apply_edits(text[offset : starts[end]], local)
        blocks.append(_trimmed(lines, _Block(first, end, tuple(_lines(new)))))
    return blocks


def _trimmed(lines: Sequence[str], block: _Block) -> _Block:
    """Without the lines at both ends that an edit inside a line leaves as they were."""
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


def _render(lines: list[str], hunk: list[_Block], shift: int) -> tuple[str, int]:
    """The text of a hunk, and by how much later lines have moved."""
    start = max(0, hunk[0].start - CONTEXT_LINES)
    end = min(len(lines), hunk[-1].end + CONTEXT_LINES)
    body: list[str] = []
    position = start
    grown = 0
    for block in hunk:
        body += [_line(" ", line) for line in lines[position : block.start]]
        body += [_line("-", line) for line in lines[block.start : block.end]]
        body += [_line("+", line) for line in block.new]
        position = block.end
        grown += len(block.new) - (block.end - block.start)
    body += [_line(" ", line) for line in lines[position:end]]
    old, new = end - start, end - start + grown
    header = f"@@ -{_range(start, old)} +{_range(start + shift, new)} @@\n"
    return header + "".join(body), shift + grown


def _range(start: int, count: int) -> str:
    return f"{start if count == 0 else start + 1},{count}"


def _line(mark: str, line: str) -> str:
    return mark + line if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"
