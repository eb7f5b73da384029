"""JSON objects, read as the runtimes read them: where they raise, `StopsError` is raised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ckptfix.jsontext.text import Path, pointer
from ckptfix.place import Place
from ckptfix.text import visible


class StopsError(Exception):
    """The release stops; the text continues a sentence that starts with the release."""


@dataclass(frozen=True)
class Held:
    """A JSON object and its location."""

    file: str
    path: Path
    value: Mapping[str, Any]

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - JSON
        """The value of a key."""
        return self.value.get(key, default)

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def place(self, *below: str) -> str:
        """A place inside it, for a message."""
        return visible(str(Place(self.file, pointer((*self.path, *below)))))

    def child(self, key: str) -> "Held":
        """The object under a key that the runtime takes for an object; absent is empty.

        Raises:
            StopsError: it is something else.
        """
        return held(self.file, (*self.path, key), self.get(key, {}))

    def string(self, key: str) -> str:
        """The string under a key that the runtime takes for a string; absent is empty.

        Raises:
            StopsError: it is something else.
        """
        value = self.get(key, "")
        if not isinstance(value, str):
            raise StopsError(f"stops: {self.place(key)} is {kind_of(value)}, not a string")
        return value

    def number(self, key: str) -> int:
        """The value of a key through `int()`, as the runtime calls it.

        Raises:
            StopsError: that raises.
        """
        value = self.get(key)
        try:
            return int(value)
        except (ValueError, TypeError, OverflowError):
            kind = kind_of(value)
            raise StopsError(f"stops: {self.place(key)} is {kind}, not a number") from None


def held(file: str, path: Path, value: object) -> Held:
    """A value that a runtime takes for an object.

    Raises:
        StopsError: it is something else.
    """
    if not isinstance(value, dict):
        place = visible(str(Place(file, pointer(path))))
        raise StopsError(f"stops: {place} is {kind_of(value)}, not an object")
    return Held(file, path, value)


def kind_of(value: object) -> str:
    """The JSON type of a value, for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return f'the string "{visible(value)}"'
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case _:
            return "an object"
