"""The metadata's names follow the modules whose tensors were renamed. Pure.

A name that still matches the same modules stays. Any other gets the first spelling that matches
exactly these modules; if there is none, the rename is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.jsontext.text import Path
from ckptfix.names import Mapped, is_class_name
from ckptfix.rewriting.plan import FileChange, change_file, draft_names
from ckptfix.rewriting.proof import Refusal
from ckptfix.rewriting.tensors.renames import TensorRenames
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.naming import Naming

_NO_SPELLING: Final = (
    "matches modules whose tensors would be renamed, and no name was found that matches the "
    "same modules afterwards"
)


class Followed(Struct, frozen=True):
    """The metadata files after the rename, and the statements that could not follow."""

    files: tuple[FileChange, ...]
    new_names: Mapping[str, str]
    """Name of a statement -> its new name."""
    refusals: tuple[Refusal, ...]


def follow_tensors(renames: TensorRenames, name_map: NameMap) -> Followed:
    """The changes to the metadata files.

    Args:
        renames: the tensors.
        name_map: how the runtime spells names, to read those that are in its spelling already.
    """
    reader = _Reader(renames, Naming(renames.before, name_map), Naming(renames.after, name_map))
    files: list[FileChange] = []
    new_names: dict[str, str] = {}
    refusals: list[Refusal] = []
    for metadata in renames.before.metadata:
        mapped: dict[tuple[str, Path], Mapped] = {}
        for statement in metadata.statements:
            new = reader.new_name(statement)
            if new is None:
                refusals.append(Refusal(statement.name, _NO_SPELLING, statement.place))
            elif new != statement.name:
                new_names[statement.name] = new
            mapped[statement.file, statement.path] = Mapped(new or statement.name)
        draft = draft_names(metadata.statements, mapped)
        refusals += draft.refusals
        change = change_file(renames.before.documents[metadata.file], metadata, draft)
        files += [change] if change.edits else []
    return Followed(tuple(files), new_names, tuple(refusals))


class _Reader(Struct, frozen=True):
    renames: TensorRenames
    before: Naming
    after: Naming

    def new_name(self, statement: Statement) -> str | None:
        """A name that matches the same modules afterwards; None if there is none."""
        if statement.kind == "target" and is_class_name(statement.name):
            return statement.name
        modules = _modules(self.before, statement, statement.name)
        if modules.isdisjoint(self.renames.modules):
            return statement.name
        moved = self.renames.modules
        wanted = frozenset().union(*(moved.get(m, frozenset({m})) for m in modules))
        found = (
            name
            for name in self._spellings(statement.name, modules)
            if _modules(self.after, statement, name) == wanted
        )
        return next(found, None)

    def _spellings(self, name: str, modules: frozenset[str]) -> Iterator[str]:
        yield name
        yield self.renames.new_name(name)
        if mapped := self.renames.name_map.mapper.map(name):
            yield mapped
        yield from sorted({new for module in modules for new in self._containers(name, module)})
        if len(modules) == 1:
            new_module = self.renames.new_name(next(iter(modules)))
            yield self.after.name_map.mapper.map(new_module) or new_module

    def _containers(self, name: str, module: str) -> Iterator[str]:
        """`a` of `a.b`, which became `c.b`: `c`."""
        new = self.renames.new_name(module)
        for old, spelled in ((module, new), (self._looked_up(module), self._looked_up(new))):
            rest = old[len(name) :]
            if old.startswith(f"{name}.") and spelled.endswith(rest):
                yield spelled[: -len(rest)]

    def _looked_up(self, module: str) -> str:
        return self.after.name_map.mapper.map(module) or module


def _modules(naming: Naming, statement: Statement, name: str) -> frozenset[str]:
    read = naming.read_pattern if statement.kind == "exclude" else naming.read_name
    return frozenset(read(name).modules)
