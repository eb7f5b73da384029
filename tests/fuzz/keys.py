"""Every key of a checkpoint's JSON files with every kind of JSON as its value, one at a time."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

FILES: Final = ("config.json", "hf_quant_config.json", "quantization_config.json")
_MISSING: Final = object()
KINDS: Final[Mapping[str, object]] = {
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "fraction": 0.5,
    "huge": 10**30,
    "empty string": "",
    "string": "x",
    "empty list": [],
    "list": [None],
    "empty object": {},
    "object": {"x": None},
    "missing": _MISSING,
}
_FIRST: Final = 2
"""So many items of a list: the others are of the same kind."""


class Change(Struct, frozen=True):
    """One value of one file."""

    file: str
    path: tuple[str | int, ...]
    kind: str

    def applied(self, document: Any) -> Any:
        """A copy of the file's document with the value; the whole is replaced by an empty path."""
        value = KINDS[self.kind]
        if not self.path:
            return None if value is _MISSING else value
        changed = copy.deepcopy(document)
        holder = changed
        for key in self.path[:-1]:
            holder = holder[key]
        if value is _MISSING:
            del holder[self.path[-1]]
        else:
            holder[self.path[-1]] = value
        return changed


def documents(folder: Path) -> dict[str, Any]:
    """File -> its document, of the metadata of a checkpoint."""
    found = ((name, folder / name) for name in FILES)
    return {name: json.loads(path.read_bytes()) for name, path in found if path.exists()}


def changes(files: Mapping[str, Any], kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Change]:
    """All of them, of the kinds that are named."""
    for file, document in files.items():
        for path in _paths(document, ()):
            for kind in kinds:
                yield Change(file, path, kind)


def _paths(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    yield path
    items: Sequence[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:_FIRST]))
    for key, inner in items:
        yield from _paths(inner, (*path, key))
