"""The lines of places in a JSON text, for all places of a report at once."""

from collections.abc import Iterable
from typing import Any

from ckptfix.jsontext.locate import located
from ckptfix.jsontext.text import JsonText, Path, pointer


def lines_of(document: JsonText, pointers: Iterable[str]) -> dict[str, int]:
    """RFC 6901 pointer -> the 1-based line of the key or element it names, if that exists."""
    known: dict[Path, dict[str, Any]] = {}
    paths = {text: _path(document, text, known) for text in dict.fromkeys(pointers)}
    places = {path for path in paths.values() if path}
    starts = {path: start for path, (start, _) in located(document, places).items()}
    for path in places - starts.keys():
        member = document.member(path)
        if member is not None:
            starts[path] = member.start
    lines = _lines(document.text, set(starts.values()))
    found = {text: lines[starts[path]] for text, path in paths.items() if path in starts}
    return {text: 1 for text, path in paths.items() if path == ()} | found


def _path(document: JsonText, text: str, known: dict[Path, dict[str, Any]]) -> Path | None:
    """The path of a pointer; None if there is no such value."""
    value: Any = document.value
    path: Path = ()
    for part in text.split("/")[1:]:
        if isinstance(value, dict):
            key: Any = part
            if "~" in part or "\\" in part or part not in value:
                if path not in known:  # keys with characters that a pointer escapes
                    known[path] = {pointer((each,)): each for each in value}
                key = known[path].get(f"/{part}")
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            key = int(part)
        else:
            return None
        if key is None:
            return None
        path, value = (*path, key), value[key]
    return path


def _lines(text: str, offsets: Iterable[int]) -> dict[int, int]:
    """The line of each character; line breaks are counted from one to the next."""
    lines: dict[int, int] = {}
    line, before = 1, 0
    for offset in sorted(offsets):
        line, before = line + text.count("\n", before, offset), offset
        lines[offset] = line
    return lines
