"""Strict JSON that records the position of every value.

The standard library decides what is valid, msgspec where it provably decides the same; the scanner
here only walks text already known to be valid, to find the byte spans that a byte-preserving edit
needs.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ckptfix.errors import CkptfixError
from ckptfix.jsontext.decode import decode_plain
from ckptfix.place import Place
from ckptfix.text import visible

_SPACE: Final = " \t\r\n"
DECODER: Final = json.JSONDecoder()

_LARGE: Final = 1 << 16
"""Characters of a container whose values are skipped without creating them."""
MAX_VALUES: Final = 4_000_000
"""Upper bound on the number of values; an index of a million tensors has a million."""
MAX_DEPTH: Final = 100
"""Upper bound on nesting."""

Path = tuple[str | int, ...]
"""Keys and array positions from the root."""


class Member(Struct, frozen=True):
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


class JsonText(Struct, frozen=True, dict=True):
    """A JSON file: its text and its value."""

    file: str
    data: bytes
    value: dict[str, Any]

    @cached_property
    def text(self) -> str:
        """The whole file."""
        return self.data.decode("utf-8")

    @classmethod
    def parse(cls, file: str, data: bytes) -> "JsonText":
        """Decode a UTF-8 JSON object.

        Raises:
            CkptfixError: not UTF-8, not JSON, a duplicate key, nested too deeply, or not an
                object; with line and column where there is one.
        """
        if data.count(b",") >= MAX_VALUES:
            raise CkptfixError(
                f"has more than {MAX_VALUES:,} values", place=Place(file), advice=_AGAIN
            )
        value = decode_plain(data)
        if isinstance(value, dict):
            return cls(file, data, value)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CkptfixError(
                f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
                place=Place(file),
                advice="save the file as UTF-8 without a byte order mark",
            ) from error
        try:
            json.loads(
                text
            )  # a duplicate key can only be located in text that is valid JSON to its end
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
            problem, advice = _not_json(text, error)
            raise CkptfixError(
                f"not valid JSON: {problem}",
                place=Place(file, line=error.lineno, column=error.colno),
                advice=advice,
            ) from error
        except RecursionError as error:
            raise _too_deep_error(file) from error
        except ValueError as error:
            raise CkptfixError(
                "a number has too many digits", place=Place(file), advice=_AGAIN
            ) from error
        if not isinstance(value, dict):
            kind = _KINDS.get(type(value), "a number")
            raise CkptfixError(
                f"holds {kind} instead of a JSON object", place=Place(file), advice=_AGAIN
            )
        return cls(file, data, value)

    def children(self, path: Path) -> tuple[Member, ...]:
        """The members of an object or the elements of an array, none of anything else."""
        if path not in self._children:
            whole = self.member(path)
            start = self._start if whole is None else whole.value_start
            known = path == () or whole is not None
            lengths = self._lengths(start, len(self.data) if whole is None else whole.end)
            self._children[path] = tuple(_scan(self.text, start, path, lengths)) if known else ()
        return self._children[path]

    def _lengths(self, start: int, end: int) -> Iterator[int]:
        """Characters of each value in a large container; nothing for any other."""
        # Without a value it is a text with two equal keys, of which msgspec keeps one.
        if end - start < _LARGE or not self.value or not self.data.isascii():
            return iter(())
        kind: Any = {"{": dict[str, Raw], "[": list[Raw]}.get(self.text[start])
        if kind is None:
            return iter(())
        try:
            values = msgspec.json.decode(memoryview(self.data)[start:end], type=kind)
        except (msgspec.DecodeError, RecursionError):  # it is stricter than the standard library
            return iter(())
        return map(len, values.values() if isinstance(values, dict) else values)

    def member(self, path: Path) -> Member | None:
        """The span of a member or element; None for the document itself and for a missing path."""
        if path == ():
            return None
        parent = path[:-1]
        if parent not in self._by_path:
            self._by_path[parent] = {member.path: member for member in self.children(parent)}
        return self._by_path[parent].get(path)

    def walk(self, path: Path = ()) -> Iterator[Member]:
        """Every member and element below, containers before their contents."""
        waiting = list(reversed(self.children(path)))
        while waiting:
            member = waiting.pop()
            yield member
            waiting += reversed(self.children(member.path))

    # Scanned containers; a container is scanned on first use.
    @cached_property
    def _children(self) -> dict[Path, tuple[Member, ...]]:
        return {}

    @cached_property
    def _by_path(self) -> dict[Path, dict[Path, Member]]:
        return {}

    @cached_property
    def _start(self) -> int:
        return self.text.index("{")

    def inside(self, container: Path) -> tuple[int, int]:
        """The characters between the brackets of a container; the document's own for `()`."""
        whole = self.member(container)
        if whole is None:
            return self._start + 1, self.text.rindex("}")
        return whole.value_start + 1, whole.end - 1

    def space_before(self, offset: int) -> str:
        """The white space that ends before a character."""
        start = offset
        while start and self.text[start - 1] in _SPACE:
            start -= 1
        return self.text[start:offset]

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, path: Path) -> Place:
        """The place of a value, with its line."""
        member = self.member(path)
        line = None if member is None else bisect_right(self._line_starts, member.start)
        return Place(self.file, pointer(path), line=line)


def _scan(text: str, start: int, path: Path, lengths: Iterator[int]) -> Iterator[Member]:
    """The direct children of the container that begins at `start`; values are skipped in C.

    `lengths` are those of the values, where they are known: decoding them takes longer.
    """
    if text[start] not in "{[":
        return
    is_object = text[start] == "{"
    at = after_space(text, start + 1)
    index = 0
    while text[at] not in "}]":
        begin = key_end = at
        key: str | int = index
        if is_object:
            key, key_end = DECODER.raw_decode(text, at)
            at = after_space(text, after_space(text, key_end) + 1)
        length = next(lengths, 0)
        end = at + length if length else DECODER.raw_decode(text, at)[1]
        yield Member((*path, key), begin, key_end, at, end)
        index += 1
        at = after_space(text, end)
        if text[at] == ",":
            at = after_space(text, at + 1)


def after_space(text: str, at: int) -> int:
    """The first character from `at` on that is no white space."""
    while text[at] in _SPACE:
        at += 1
    return at


_AGAIN: Final = "download or export the file again"
_KINDS: Final = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def _not_json(text: str, error: json.JSONDecodeError) -> tuple[str, str]:
    """What is wrong, without a position, and what to do; a string may be open since its start."""
    problem = error.msg[:1].lower() + error.msg[1:].removesuffix(" starting at")
    if error.pos >= len(text.rstrip()) or problem == "unterminated string":
        return f"{problem} where the file ends", _AGAIN
    return problem, "correct it there, or download the file again"


def _too_deep_error(file: str) -> CkptfixError:
    return CkptfixError("JSON nested too deeply", place=Place(file), advice=_AGAIN)


def _duplicate_key_error(file: str, text: str, key: str) -> CkptfixError:
    seen: set[Path] = set()
    for member in JsonText(file, text.encode("utf-8"), {}).walk():
        if len(member.path) > MAX_DEPTH:
            return _too_deep_error(file)
        if member.path in seen and member.path[-1] == key:
            line = text.count("\n", 0, member.start) + 1
            column = member.start - (text.rfind("\n", 0, member.start) + 1) + 1
            return CkptfixError(
                f"duplicate key {json.dumps(key)}",
                place=Place(file, pointer(member.path), line=line, column=column),
                advice="remove one of the two",
            )
        seen.add(member.path)
    return CkptfixError(
        f"duplicate key {json.dumps(key)}", place=Place(file), advice="remove one of the two"
    )
