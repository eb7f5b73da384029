"""Edits of a text as spans of characters: made, applied, and joined."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

_JOINED: Final = 1_000
"""Pieces of a text that are joined to one part."""


class TextEdit(Struct, frozen=True, gc=False):
    """Replace the characters `start` to `end` by `text`."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: Iterable[TextEdit]) -> str:
    """The text with the edits made; edits are sorted and do not overlap."""
    return "".join(edited_parts(text, edits))


def edited_parts(text: str, edits: Iterable[TextEdit]) -> Iterator[str]:
    """The same in parts: the pieces between a hundred thousand edits take more memory than it."""
    pieces: list[str] = []
    position = 0
    for edit in edits:
        pieces += (text[position : edit.start], edit.text)
        position = edit.end
        if len(pieces) > _JOINED:
            yield "".join(pieces)
            pieces = []
    yield from (*pieces, text[position:])


def compose_edits(
    text: str, first: Sequence[TextEdit], second: Sequence[TextEdit]
) -> tuple[TextEdit, ...]:
    """The edits of `text` that do what `first` does, and `second` on its result."""
    pieces = _Pieces(_split(len(text), first))
    final: list[_Piece] = []
    position = 0
    for edit in second:
        final += pieces.take(edit.start - position)
        pieces.drop(edit.end - edit.start)
        final.append(_Piece(edit.text, 0, 0))
        position = edit.end
    final += pieces.rest()
    return tuple(_as_edits(len(text), final))


class _Piece(Struct, frozen=True):
    """Characters that stay from the first text, or new text."""

    new: str | None
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start if self.new is None else len(self.new)

    def cut(self, at: int) -> "tuple[_Piece, _Piece]":
        if self.new is not None:
            return _Piece(self.new[:at], 0, 0), _Piece(self.new[at:], 0, 0)
        middle = self.start + at
        return _Piece(None, self.start, middle), _Piece(None, middle, self.end)


def _split(length: int, edits: Iterable[TextEdit]) -> Iterator[_Piece]:
    position = 0
    for edit in edits:
        yield _Piece(None, position, edit.start)
        yield _Piece(edit.text, 0, 0)
        position = edit.end
    yield _Piece(None, position, length)


class _Pieces:
    """Pieces handed out by length, from the front."""

    def __init__(self, pieces: Iterable[_Piece]) -> None:
        self._pieces = iter(pieces)
        self._front: _Piece | None = None

    def take(self, length: int) -> Iterator[_Piece]:
        while length > 0:
            piece = self._front or next(self._pieces)
            taken, rest = piece.cut(min(length, len(piece)))
            self._front = rest if len(rest) else None
            length -= len(taken)
            yield taken

    def drop(self, length: int) -> None:
        for _ in self.take(length):
            pass

    def rest(self) -> Iterator[_Piece]:
        if self._front is not None:
            yield self._front
        yield from self._pieces


def _as_edits(length: int, pieces: Iterable[_Piece]) -> Iterator[TextEdit]:
    position, new = 0, ""
    for piece in [*pieces, _Piece(None, length, length)]:
        if piece.new is not None:
            new += piece.new
        elif len(piece) or piece.start == length:
            if new or piece.start != position:
                yield TextEdit(position, piece.start, new)
            position, new = piece.end, ""
