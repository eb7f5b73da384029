"""The changes that a rebuild makes to one metadata file, before they become edits of its text."""

import json
from collections.abc import Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from ckptfix.jsontext.text import JsonText, Path


class Changes(Struct):
    """Changes collected while a file is processed; edits are made from them at the end."""

    removals: set[Path] = field(default_factory=set)
    settings: dict[Path, object] = field(default_factory=dict)
    appended: dict[Path, list[object]] = field(default_factory=dict)
    _counted: dict[Path, int] = field(default_factory=dict)
    """Path of a setting -> how many statements it sets, if not one."""

    def set(self, path: Path, value: object, *, statements: int = 1) -> None:
        """Give a member a value; `statements` is the number reported to the user."""
        self.settings[path] = value
        self._counted[path] = statements

    def append(self, path: Path, values: Sequence[str]) -> None:
        """Append names to an existing list."""
        self.appended.setdefault(path, []).extend(values)

    def add_to(self, path: Path, present: object, values: list[str]) -> None:
        """Add names to a list that may not exist; `present` is its current content."""
        if not values:
            return
        if isinstance(present, list):
            self.append(path, values)
        else:
            self.set(path, values, statements=len(values))

    def without_what_is_there(self, document: JsonText) -> "Changes":
        """The same without the settings that the document already has."""
        kept = {p: v for p, v in self.settings.items() if not _is_there(document.value, p, v)}
        return replace(self, settings=kept)

    @property
    def rebuilt(self) -> int:
        """Statements set or added."""
        return sum(self._counted[path] for path in self.settings) + sum(
            map(len, self.appended.values())
        )


def _is_there(present: object, path: Path, wanted: object) -> bool:
    """True if a path has a value that is written identically, including the order of keys."""
    for part in path:
        if not isinstance(present, dict) or part not in present:
            return False
        present = present[part]
    return json.dumps(present) == json.dumps(wanted)
