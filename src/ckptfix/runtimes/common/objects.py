"""JSON objects, read as the runtimes read them: where they raise, `StopsError` is raised."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ckptfix.jsontext.text import JsonText, Path, pointer
from ckptfix.place import Place
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.text import visible


class StopsError(Exception):
    """The release stops; the text continues a sentence that starts with the release."""

    def __init__(
        self, cause: str = "", at: tuple[str, Path] | None = None, *, text: str = ""
    ) -> None:
        """Stop at a value of a file, if the cause is one.

        Args:
            cause: why, as a sentence of its own.
            at: the file, and the path of the value in it or of what should be there.
            text: instead of a cause: what the release does, after its name.
        """
        self.reason = Reason(text, Effect.STOPS) if text else Reason.stop(cause)
        self.at = at
        super().__init__(self.reason.text)

    def place_in(self, documents: Mapping[str, JsonText]) -> Place | None:
        """Where it stops: at the value, or the nearest one around it that the file has."""
        if self.at is None:
            return None
        file, path = self.at
        value: object = documents[file].value if file in documents else None
        there: Path = ()
        for key in path:
            if not isinstance(value, dict) or key not in value:
                break
            there, value = (*there, key), value[key]
        return Place(file, pointer(there))


class JsonObject(Struct, frozen=True):
    """A JSON object and its location."""

    file: str
    path: Path
    value: Mapping[str, Any]

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - JSON
        """The value of a key."""
        return self.value.get(key, default)

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def at(self, *below: str) -> tuple[str, Path]:
        """A place inside it, for a StopsError."""
        return self.file, (*self.path, *below)

    def place(self, *below: str) -> str:
        """A place inside it, for a message."""
        return visible(str(Place(self.file, pointer((*self.path, *below)))))

    def stop(self, problem: str, *below: str) -> StopsError:
        """The release stops at a place inside it; the problem continues after that place."""
        return StopsError(f"{self.place(*below)}{problem}", self.at(*below))

    def child(self, key: str) -> "JsonObject":
        """The object under a key that the runtime treats as an object; absent is empty.

        Raises:
            StopsError: it is something else.
        """
        return json_object(self.file, (*self.path, key), self.get(key, {}))

    def string(self, key: str) -> str:
        """The string under a key that the runtime treats as a string; absent is empty.

        Raises:
            StopsError: it is something else.
        """
        value = self.get(key, "")
        if not isinstance(value, str):
            raise self.stop(f" is {kind_of(value)}, not a string", key)
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
            raise self.stop(f" is {kind}, not a number", key) from None


def json_object(file: str, path: Path, value: object) -> JsonObject:
    """A value that a runtime treats as an object.

    Raises:
        StopsError: it is something else.
    """
    if not isinstance(value, dict):
        raise JsonObject(file, path, {}).stop(f" is {kind_of(value)}, not an object")
    return JsonObject(file, path, value)


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
