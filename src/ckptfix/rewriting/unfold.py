"""From a plan that was made and proved on a folded checkpoint to the files of the whole one."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import MetadataFile, value_at
from ckptfix.checkpoint.expert_banks import EXPERTS, Banks
from ckptfix.checkpoint.expert_patterns import may_tell_experts_apart
from ckptfix.checkpoint.fold import Fold
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.names import NameMapper, Rule
from ckptfix.rewriting.plan import Draft, FileChange, Plan, change_file

_LITERAL: Final = re.compile(r"\\x00|\\[-./]")
_ANY_LENGTH: Final = re.compile(r"(?:\.|\[\^[^\]\d\\-]*\])[*+]")
"""Matches a number of any length."""
_DIGIT_OR_UNKNOWN: Final = re.compile(r"[^A-Za-z_^$]")

_EXPERT: Final = re.compile(r"experts\W+\d")
"""In any spelling, also with the dots escaped."""


class NotForAllError(Exception):
    """The plan depends on the number of experts."""


def unfolded_plan(plan: Plan, folded: Checkpoint, whole: Checkpoint) -> Plan:
    """The plan with every change made for each expert.

    Raises:
        NotForAllError: it has to be made for the whole checkpoint.
    """
    fold = folded.fold
    if fold is None or not plan.files:
        return plan
    if _tells_apart(plan.name_map.mapper, folded):
        raise NotForAllError
    of_file = {metadata.file: metadata for metadata in folded.metadata}
    changes = []
    for change in plan.files:
        document = whole.documents[change.file]
        if change.draft is not None:
            changes.append(_unfolded(fold, of_file[change.file], document, change.draft))
        elif change.document is document and not _adds_experts(change):
            changes.append(change)
        else:  # more than names changed, also in files that had no metadata before
            raise NotForAllError
    return replace(plan, files=tuple(changes))


def _adds_experts(change: FileChange) -> bool:
    """True for a change after which a file that names no expert may name one."""
    return any(_EXPERT.search(edit.text) for edit in change.edits)


def _unfolded(
    fold: Fold, metadata: MetadataFile, document: JsonText, folded_draft: Draft
) -> FileChange:
    draft = _Unfolding(fold, metadata.file, document.value).draft(folded_draft)
    # The text, what is found in it and the draft are each as large as the file: none is kept.
    return replace(change_file(replace(document), metadata, draft), document=document, draft=None)


def _tells_apart(mapper: NameMapper, folded: Checkpoint) -> bool:
    """True unless it is certain that no rule depends on the number of an expert."""
    banks = folded.banks
    names = (s.name for m in folded.metadata for s in m.statements)
    return banks is not None and any(map(banks.has, names)) and any(map(_may_tell, mapper.rules))


def _may_tell(rule: Rule) -> bool:
    if rule.kind != "regex":
        return may_tell_experts_apart(rule.old)
    return bool(_DIGIT_OR_UNKNOWN.search(_ANY_LENGTH.sub("", _LITERAL.sub("", rule.old))))


class _Unfolding(Struct, frozen=True, dict=True):
    """One file."""

    fold: Fold
    file: str
    value: Mapping[str, Any]
    """Path in the whole file."""

    @property
    def _banks(self) -> Banks:
        return self.fold.banks

    def draft(self, draft: Draft) -> Draft:
        """The same for every expert."""
        if any(map(self._banks.has, draft.excludes)):
            raise NotForAllError
        renames: dict[Path, str] = {}
        for path, new in draft.renames.items():
            paths = list(self._paths(path))
            names = self._of_every_expert(new, len(paths)) if len(paths) > 1 else (new,)
            renames.update(zip(paths, names, strict=True))
        removals = {each for path in draft.removals for each in self._paths(path)}
        additions = {self._beside(path): names for path, names in draft.additions.items()}
        return replace(draft, renames=renames, removals=removals, additions=additions)

    def _paths(self, path: Path) -> Iterator[Path]:
        """Path of a name in the whole file, for each expert in turn."""
        positions = self.fold.positions.get((self.file, path[:-1]))
        if isinstance(path[-1], str):
            yield from ((*path[:-1], name) for name in self._banks.names(path[-1]))
            return
        position = path[-1] if positions is None else positions[path[-1]]
        if positions is None:
            yield path
            return
        place_of = self._place_of(path[:-1])
        name = value_at(self.value, path[:-1])[position]
        yield from ((*path[:-1], place_of[each]) for each in self._banks.names(name))

    def _place_of(self, path: Path) -> Mapping[str, int]:
        if path not in self._places:
            self._places[path] = {n: at for at, n in enumerate(value_at(self.value, path))}
        return self._places[path]

    @cached_property
    def _places(self) -> dict[Path, Mapping[str, int]]:
        return {}

    def _of_every_expert(self, name: str, experts: int) -> list[str]:
        """A new name of expert 0, for every expert."""
        head, dot, tail = name.partition(EXPERTS)
        first, rest = tail[:1], tail[1:]
        if not dot or first != "0" or rest[:1] not in ("", "."):
            raise NotForAllError
        return [name, *(f"{head}{dot}{number}{rest}" for number in range(1, experts))]

    def _beside(self, path: Path) -> Path:
        """Where a name is added: for a bank, after the last of its modules."""
        name = path[-1]
        if not isinstance(name, str) or not self._banks.has(name):
            return next(self._paths(path))
        raise NotForAllError
