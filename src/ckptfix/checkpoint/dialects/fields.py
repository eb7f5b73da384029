"""Typed access to the JSON of a metadata file, for every dialect."""

from collections.abc import Iterable, Iterator
from typing import Any

from ckptfix.checkpoint.dialects.statements import Fault, Statement, StatementKind, value_at
from ckptfix.jsontext.text import JsonText, Path


class Fields:
    """One JSON object; a field of the wrong type is a fault and counts as absent."""

    def __init__(self, document: JsonText, path: Path, value: object, faults: list[Fault]) -> None:
        self.document, self.path, self.faults = document, path, faults
        if not isinstance(value, dict):
            self.wrong((), "an object")
        self.value: dict[str, Any] = value if isinstance(value, dict) else {}

    @classmethod
    def at(cls, document: JsonText, path: Path) -> "Fields":
        """The object at a path of a document."""
        return cls(document, path, value_at(document.value, path), [])

    def wrong(self, below: Path, expected: str) -> None:
        """Record that the value at a path below does not have the expected type."""
        place = self.document.place((*self.path, *below))
        self.faults.append(Fault(place, expected))

    def text(self, key: str) -> str | None:
        """A string or null."""
        value = self.value.get(key)
        if value is None or isinstance(value, str):
            return value
        self.wrong((key,), "a string or null")
        return None

    def number(self, key: str) -> int | None:
        """A whole number or null."""
        value = self.value.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.wrong((key,), "a whole number or null")
        return None

    def child(self, key: str) -> "Fields | None":
        """An object; None if null or absent."""
        value = self.value.get(key)
        return None if value is None else self.below(key, value)

    def below(self, key: str, value: object) -> "Fields":
        """The object that a key holds."""
        return Fields(self.document, (*self.path, key), value, self.faults)

    def members(self, key: str) -> "Iterator[Fields]":
        """The objects in the object under a key whose own keys are names.

        A member that is not an object is a fault, and counts as empty.
        """
        named = self.child(key)
        if named is not None:
            yield from (named.below(name, value) for name, value in named.value.items())

    def name_list(self, kind: StatementKind, key: str) -> list[Statement]:
        """The statements of the list of names under a key; anything but a list is a fault."""
        listed = self.value.get(key)
        if listed is not None and not isinstance(listed, list):
            self.wrong((key,), "a list of strings")
            return []
        return self.names(kind, (*self.path, key), listed or ())

    def names(self, kind: StatementKind, path: Path, listed: Iterable[object]) -> list[Statement]:
        """The statements of a list of names.

        Args:
            kind: of the statements.
            path: of the list in the document.
            listed: its items.
        """
        made = []
        for index, name in enumerate(listed):
            if not isinstance(name, str):
                self.faults.append(Fault(self.document.place((*path, index)), "a string"))
            else:
                made.append(Statement(kind, name, self.document.file, (*path, index)))
        return made
