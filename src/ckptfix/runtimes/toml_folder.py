"""Facts in TOML files of this package: a file is parsed when something in it is looked up.

Parsing all of them takes longer than everything else that a check of a small checkpoint does, and
a checkpoint needs what two or three files say.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any

from msgspec import Struct

from ckptfix.runtimes.common.rows import covers
from ckptfix.runtimes.facts import FACTS, toml_files
from ckptfix.runtimes.targets import Target


class TomlFolder(Struct, frozen=True, eq=False, dict=True):
    """The `*.toml` files of a folder next to this file."""

    name: str

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """File name -> text, in the order of the names."""
        return {path.name: path.read_text("utf-8") for path in toml_files(FACTS / self.name)}

    def found(self, file: str) -> dict[str, Any]:
        """The content of a file; empty where there is none.

        Raises:
            tomllib.TOMLDecodeError: it is not TOML.
        """
        return self.parsed(file) if file in self.texts else {}

    def holding(self, part: str) -> tuple[str, ...]:
        """Names of the files whose text has this part."""
        return tuple(name for name, text in self.texts.items() if part in text)

    def parsed(self, file: str) -> dict[str, Any]:
        """The content of a file.

        Raises:
            tomllib.TOMLDecodeError: it is not TOML.
        """
        if file not in self._parsed:
            self._parsed[file] = tomllib.loads(self.texts[file])
        return self._parsed[file]

    @cached_property
    def _parsed(self) -> dict[str, dict[str, Any]]:
        return {}


@cache
def facts_of(runtime: str) -> TomlFolder:
    """The files of facts in the folder of a runtime."""
    return TomlFolder(runtime)


@cache
def own_facts(file: str) -> Mapping[str, Any]:
    """The content of a file of facts next to this one, which hold for every runtime."""
    return tomllib.loads((FACTS / file).read_text("utf-8"))


def rows_of(
    rows: Iterable[Mapping[str, Any]], target: Target, classes: Iterable[str]
) -> Iterator[Mapping[str, Any]]:
    """Those of a table by `runtime`, `versions` and `architectures` that hold for a release.

    Args:
        rows: of the table.
        target: the release.
        classes: the model classes in question.
    """
    named = {*classes}
    return (
        row
        for row in rows
        if row["runtime"] == target.runtime
        and not named.isdisjoint(row["architectures"])
        and covers(row["versions"], target.profile_version)
    )
