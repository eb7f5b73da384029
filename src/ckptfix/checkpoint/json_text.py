"""Strict JSON that knows where every string stands in its file.

The standard library decides what is valid; the scanner here only walks text already known to be
valid, to find the byte spans that a byte-preserving edit needs.
"""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ckptfix.errors import CkptfixError, Place
from ckptfix.names import visible

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')

Path = tuple[str | int, ...]
"""Keys and array positions from the root."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object or an element of an array, as spans of characters."""

    path: Path
    start: int
    """First character of the key, or of the element."""
    key_end: int
    """One past the key; equal to `start` for an array element."""
    value_start: int
    end: int
    """One past the value."""


def pointer(path: Path) -> str:
    """RFC 6901 pointer.

    >>> pointer(("a/b", 0))
    '/a~1b/0'
    """
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{visible(part)}" for part in parts)


class _DuplicateKeyError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return made


@dataclass(frozen=True)
class JsonText:
    """A JSON file: its text and its value."""

    file: str
    text: str
    value: dict[str, Any]

    @classmethod
    def parse(cls, file: str, data: bytes) -> "JsonText":
        """Decode a UTF-8 JSON object.

        Raises:
            CkptfixError: not UTF-8, not JSON, a duplicate key, nested too deeply, or not an
                object; with line and column where there is one.
        """
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CkptfixError(
                f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
                place=Place(file),
                advice="save the file as UTF-8 without a byte order mark",
            ) from error
        try:
            value = json.loads(text, object_pairs_hook=_unique)
        except _DuplicateKeyError as error:
            raise _duplicate_key_error(file, text, error.key) from None
        except json.JSONDecodeError as error:
            if text.startswith("\ufeff"):
                raise CkptfixError(
                    "starts with a byte order mark, which transformers and the runtimes reject",
                    place=Place(file),
                    advice="save the file as UTF-8 without a byte order mark",
                ) from error
            problem = error.msg[:1].lower() + error.msg[1:]
            raise CkptfixError(
                f"not valid JSON: {problem}",
                place=Place(file, line=error.lineno, column=error.colno),
            ) from error
        except RecursionError as error:
            raise CkptfixError("JSON nested too deeply", place=Place(file)) from error
        except ValueError as error:
            raise CkptfixError("a number has too many digits", place=Place(file)) from error
        if not isinstance(value, dict):
            raise CkptfixError("expected a JSON object at the top", place=Place(file))
        return cls(file, text, value)

    @cached_property
    def members(self) -> dict[Path, Member]:
        """Every member and element of the document, in the order of the text."""
        return {member.path: member for member in scan(self.text)}

    def inside(self, container: Path) -> tuple[int, int]:
        """The characters between the brackets of a container; the document's own for `()`."""
        if container == ():
            return self.text.index("{") + 1, self.text.rindex("}")
        whole = self.members[container]
        return whole.value_start + 1, whole.end - 1

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def line_of(self, offset: int) -> int:
        """1-based line of a character."""
        return bisect_right(self._line_starts, offset)

    @cached_property
    def _line_of_pointer(self) -> dict[str, int]:
        return {pointer(path): self.line_of(m.start) for path, m in self.members.items()}

    def line_of_pointer(self, text: str) -> int | None:
        """1-based line of the key or element that an RFC 6901 pointer names, if it is there."""
        return 1 if text == "" else self._line_of_pointer.get(text)

    def place(self, path: Path) -> Place:
        """The place of a value, with its line."""
        member = self.members.get(path)
        line = None if member is None else self.line_of(member.start)
        return Place(self.file, pointer(path), line=line)


def scan(text: str) -> list[Member]:
    """Every member and element of valid JSON text, containers before their contents."""
    found: list[Member | None] = []
    open_containers = [_Container(None, False, 0, (0, 0), 0)]
    for token in _TOKEN.finditer(text):
        container = open_containers[-1]
        first = text[token.start()]
        if first in ",:":
            continue
        if first in "}]":
            open_containers.pop()
            container.close(found, token.end())
            open_containers[-1].advance()
        elif container.is_object and container.key is None:
            container.key, container.key_span = _unquote(token.group()), token.span()
        elif first in "{[":
            open_containers.append(container.enter(found, first == "{", token.start()))
        else:
            container.enter(found, False, token.start()).close(found, token.end())
            container.advance()
    return [member for member in found[1:] if member is not None]


def _unquote(token: str) -> str:
    return str(json.loads(token)) if "\\" in token else token[1:-1]


class _Container:
    """An object or array that is still open, or a scalar on its way."""

    __slots__ = ("index", "is_object", "key", "key_span", "own_key_span", "path", "slot", "start")

    def __init__(
        self,
        path: Path | None,
        is_object: bool,
        slot: int,
        own_key_span: tuple[int, int],
        start: int,
    ) -> None:
        self.path = path
        self.is_object = is_object
        self.slot = slot
        self.own_key_span = own_key_span
        self.start = start
        self.key: str | None = None
        self.key_span = (0, 0)
        self.index = 0

    def enter(self, found: list[Member | None], is_object: bool, start: int) -> "_Container":
        slot = len(found)
        found.append(None)
        if self.path is None:
            return _Container((), is_object, slot, (start, start), start)
        if self.key is None:
            return _Container((*self.path, self.index), is_object, slot, (start, start), start)
        return _Container((*self.path, self.key), is_object, slot, self.key_span, start)

    def close(self, found: list[Member | None], end: int) -> None:
        if self.path is not None:
            found[self.slot] = Member(self.path, *self.own_key_span, self.start, end)

    def advance(self) -> None:
        self.key = None
        self.index += 1


def _duplicate_key_error(file: str, text: str, key: str) -> CkptfixError:
    seen: set[Path] = set()
    for member in scan(text):
        if member.path in seen and member.path[-1] == key:
            line = text.count("\n", 0, member.start) + 1
            column = member.start - (text.rfind("\n", 0, member.start) + 1) + 1
            return CkptfixError(
                f"duplicate key {json.dumps(key)}",
                place=Place(file, pointer(member.path), line=line, column=column),
                advice="keep one of the two",
            )
        seen.add(member.path)
    return CkptfixError(f"duplicate key {json.dumps(key)}", place=Place(file))
