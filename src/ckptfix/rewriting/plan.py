"""Which statements change, and the proof that the result declares the same for the same modules.

Pure: a checkpoint and a name map in, a plan out. The proof obligation: the rewritten metadata,
read again from its own bytes, has no finding that the old one did not have; every renamed entry
matches modules that exist and are stored as declared; no two statements merge into one unless
they are equal.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.jsontext.edit import DocumentEdit, edit_document
from ckptfix.jsontext.spans import TextEdit, edited_parts
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.names import Mapped, Rule
from ckptfix.place import Place
from ckptfix.rewriting.proof import Refusal, find_harm
from ckptfix.rules.finding import Finding
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.text import visible


class FileChange(Struct, frozen=True):
    """One metadata file, before and after."""

    document: JsonText
    """The file before it."""
    edits: tuple[TextEdit, ...]
    renamed: int
    """Statements with a new name."""
    removed: int
    """Statements removed: dropped by a rule, or already present under the new name."""
    added: int = 0
    """Statements added under a new name with the content of an existing one: aliases."""
    rebuilt: int = 0
    """Statements set or added from the tensors."""
    copied: int = 0
    """Statements copied from another file that this one lacked, or from another place of it."""
    copied_from: str = ""
    """The other file, or the place."""
    draft: "Draft | None" = None
    """What it was made from; None if more than names changed."""

    @classmethod
    def of(
        cls,
        document: JsonText,
        edit: DocumentEdit,
        *,
        added: int = 0,
        rebuilt: int = 0,
        draft: "Draft | None" = None,
    ) -> "FileChange":
        """The result of editing a file."""
        return cls(
            document,
            edit_document(document, edit),
            len(edit.renames),
            len(edit.removals),
            added=added,
            rebuilt=rebuilt,
            draft=draft,
        )

    @property
    def file(self) -> str:
        """Its name."""
        return self.document.file

    @property
    def before(self) -> str:
        """Its text before the change, decoded when it is needed: it is large."""
        return self.document.data.decode("utf-8")

    @property
    def after(self) -> bytes:
        """The file after the change, made when it is needed: it is large."""
        made = BytesIO()
        for part in edited_parts(self.before, self.edits):
            made.write(part.encode("utf-8"))
        return made.getvalue()

    @property
    def changes(self) -> int:
        """Statements whose content changes."""
        return self.renamed + self.removed + self.added + self.rebuilt + self.copied


class Plan(Struct, frozen=True):
    """A rewrite that can be shown, applied or refused."""

    name_map: NameMap
    files: tuple[FileChange, ...]
    """Only the files that change."""
    names_per_rule: tuple[tuple[Rule, int], ...]
    """Every rule of the mapper with the number of statements it changed."""
    findings_before: tuple[Finding, ...]
    findings_after: tuple[Finding, ...]
    refusals: tuple[Refusal, ...]

    @property
    def changes(self) -> int:
        """Statements renamed, removed, added, rebuilt or copied."""
        return sum(file.changes for file in self.files)


class Draft(Struct, frozen=True):
    """The changes to one file, before they are proved."""

    renames: dict[Path, str]
    removals: set[Path]
    refusals: tuple[Refusal, ...]
    additions: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    excludes: tuple[str, ...] = ()


class Aliases(Struct, frozen=True):
    """Names to add because a runtime looks them up."""

    entries: Mapping[Place, tuple[str, ...]] = field(default_factory=dict)
    """Place of an entry -> names to add next to it."""
    excludes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """File -> exclude patterns to add."""


NO_ALIASES: Final = Aliases()


def plan_rewrite(
    checkpoint: Checkpoint,
    name_map: NameMap,
    aliases: Aliases = NO_ALIASES,
    spelling: NameMap | None = None,
) -> Plan:
    """Map every statement and prove the result.

    Args:
        checkpoint: tensors and metadata.
        name_map: how statements are renamed.
        aliases: names to add.
        spelling: the map for reading names, if it differs from the one that renames.

    Raises:
        CkptfixError: applying the map a second time would change a name again.
    """
    statements = [s for metadata in checkpoint.metadata for s in metadata.statements]
    name_map.require_stable([s.name for s in statements])
    mapped = {(s.file, s.path): name_map.mapper.trace(s.name) for s in statements}
    counts = Counter[int]()
    for statement in statements:
        number = checkpoint.banks.number(statement.name) if checkpoint.banks else 1
        for rule in mapped[statement.file, statement.path].rules:
            counts[rule] += number
    drafts = {
        m.file: replace(
            draft_names(m.statements, mapped),
            additions=_additions(m, aliases),
            excludes=aliases.excludes.get(m.file, ()),
        )
        for m in checkpoint.metadata
    }
    changes = [
        change
        for m in checkpoint.metadata
        if (change := change_file(checkpoint.documents[m.file], m, drafts[m.file])).edits
    ]
    after = rewritten(checkpoint, changes)
    understood = spelling or name_map
    findings_before = find_all(checkpoint, understood)
    findings_after = find_all(after, understood)
    renamed = _renamed_places(checkpoint, after, drafts)
    refusals = [refusal for draft in drafts.values() for refusal in draft.refusals]
    refusals += find_harm(renamed, name_map, findings_before, findings_after)
    return Plan(
        name_map,
        tuple(changes),
        tuple((rule, counts[n]) for n, rule in enumerate(name_map.mapper.rules)),
        findings_before,
        findings_after,
        tuple(dict.fromkeys(refusals)),
    )


def _additions(metadata: MetadataFile, aliases: Aliases) -> dict[Path, tuple[str, ...]]:
    if not aliases.entries:
        return {}
    entries = ((s.path, s.place) for s in metadata.of_kind("entry"))
    return {path: aliases.entries[place] for path, place in entries if place in aliases.entries}


def draft_names(statements: tuple[Statement, ...], mapped: dict[tuple[str, Path], Mapped]) -> Draft:
    """Renames and removals for one file; statements with one new name are merged or refused."""
    renames: dict[Path, str] = {}
    removals: set[Path] = set()
    refusals: list[Refusal] = []
    taken: dict[tuple[Path, str], Statement] = {}
    changed = []
    for statement in statements:
        name = mapped[statement.file, statement.path].name
        if name is None:
            removals.add(statement.path)
        elif name == statement.name:
            taken.setdefault((statement.path[:-1], name), statement)
        else:
            changed.append((statement, name))
    for statement, name in changed:
        other = taken.setdefault((statement.path[:-1], name), statement)
        if other is statement:
            renames[statement.path] = name
        elif (other.quant_algo, other.group_size) == (statement.quant_algo, statement.group_size):
            removals.add(statement.path)
        else:
            refusals.append(
                Refusal(
                    statement.name,
                    f"would become {visible(name)}, but {visible(other.name)} already means that "
                    f"with different content: {_content(statement)} against {_content(other)}",
                    statement.place,
                )
            )
    return Draft(renames, removals, tuple(refusals))


def _content(statement: Statement) -> str:
    size = f" group_size {statement.group_size}" if statement.group_size is not None else ""
    return f"{visible(statement.quant_algo or 'null')}{size}"


def change_file(document: JsonText, metadata: MetadataFile, draft: Draft) -> FileChange:
    """The edits that a draft makes to the text of its file."""
    additions = {p: n for p, n in draft.additions.items() if p not in draft.removals}
    settings: dict[Path, object] = {}
    appended: dict[Path, list[str]] = {}
    if draft.excludes:
        path = metadata.exclude_list
        present = document.member(path)
        empty = present is None or document.text[present.value_start] != "["
        if empty:
            settings[path] = list(draft.excludes)
        else:
            appended[path] = list(draft.excludes)
    edit = DocumentEdit(draft.renames, draft.removals, additions, settings, appended)
    added = sum(map(len, additions.values())) + len(draft.excludes)
    return FileChange.of(document, edit, added=added, draft=draft)


def rewritten(checkpoint: Checkpoint, changes: Iterable[FileChange]) -> Checkpoint:
    """The checkpoint as parsed from the new bytes."""
    changes = tuple(changes)
    if not changes:
        return checkpoint
    documents = dict(checkpoint.documents)
    for change in changes:
        documents[change.file] = JsonText.parse(change.file, change.after)
    return replace(checkpoint, documents=documents)


def _renamed_places(
    before: Checkpoint, after: Checkpoint, drafts: dict[str, Draft]
) -> dict[Place, Statement]:
    """Place after the rewrite -> the renamed entry or target as it was before."""
    places = {}
    for old, new in zip(before.metadata, after.metadata, strict=True):
        draft = drafts[old.file]
        # Patterns are added wherever a dialect has them, so only other statements are counted.
        named = [s for s in new.statements if s.kind != "exclude"]
        kept = (s for s in old.statements if s.kind != "exclude" and s.path not in draft.removals)
        position = 0
        for was in kept:
            if was.path in draft.renames:
                places[named[position].place] = was
            position += 1 + len(draft.additions.get(was.path, ()))
    return places
