"""The names that releases need in a dialect with its own reading, proved by resolving them again.

A release may match names differently from the quantizer, or spell them differently. For each module
that it builds incorrectly, names are added in the spelling that helps; a name that decides
incorrectly is replaced by names of the modules for which it is correct.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Reading, Speller, SpellingTask, Wanted
from ckptfix.checkpoint.dialects.statements import Statement, value_at
from ckptfix.place import Place
from ckptfix.rewriting.plan import FileChange, Plan, rewritten
from ckptfix.rewriting.portable import PortablePlan
from ckptfix.rewriting.proof import find_harm, harms
from ckptfix.rewriting.rebuild.plan import changed_file
from ckptfix.rewriting.wanted_names import Spelling, WantedNames
from ckptfix.rules.finding import Finding
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge_each

_ROUNDS: Final = 3
"""A list that a release derives from the tensors if it is missing has to be written completely:
each round adds what the previous one missed."""
_SPELLINGS: Final[tuple[Spelling, ...]] = (
    ("stored",),
    ("members",),
    ("looked up",),
    ("stored", "looked up"),
    ("stored", "members"),
    ("stored", "members", "looked up"),
)
"""Tried in this order."""


class Attempt(Struct, frozen=True):
    """One set of changes and its result."""

    files: tuple[FileChange, ...]
    after: tuple[TargetVerdict, ...]
    wrong: int
    """Modules that some release still builds incorrectly."""
    lost: int
    """Modules that the quantizer would now read differently from how they are stored."""

    @property
    def rank(self) -> tuple[int, int]:
        """Lower is better; the first of equals wins."""
        return self.lost, self.wrong


class SpelledPlanner(Struct, frozen=True, dict=True):
    """Plans for one checkpoint whose dialect has its own reading."""

    checkpoint: Checkpoint
    reading: Reading
    speller: Speller
    name_map: NameMap
    targets: Sequence[Target]
    from_tensors: bool
    """Also repair what contradicts the tensors."""

    def plan(self) -> tuple[Plan, PortablePlan | None]:
        """The plan, and the verdicts of the releases before and after it."""
        best = self._attempt_without_idle() if self._idle else self._none
        for drops in (False, True):
            for spelling in _SPELLINGS:
                if best.rank == (0, 0):
                    break
                attempt = self._attempt(spelling, drops=drops)
                if attempt.rank < best.rank and not self._harms(attempt):
                    best = attempt
        after = rewritten(self.checkpoint, best.files)
        found_before = self._found_before
        found_after = _without_releases(after, self.name_map, best.after)
        refusals = tuple(find_harm({}, self.name_map, found_before, found_after))
        plan = Plan(self.name_map, best.files, (), found_before, found_after, refusals)
        return plan, PortablePlan(plan, self.before, best.after) if self.targets else None

    @cached_property
    def before(self) -> tuple[TargetVerdict, ...]:
        """The verdicts now."""
        return judge_each(self.checkpoint, self.targets)

    @cached_property
    def _names(self) -> WantedNames:
        return WantedNames(
            self.checkpoint, self.reading, self.name_map, self.before, self.from_tensors
        )

    @cached_property
    def _found_before(self) -> tuple[Finding, ...]:
        return _without_releases(self.checkpoint, self.name_map, self.before)

    @cached_property
    def _idle(self) -> frozenset[Place]:
        """Places of names without effect, if those are to be removed."""
        if not self.from_tensors:
            return frozenset()
        return frozenset(f.place for f in self._found_before if f.rule.is_idle)

    def _attempt_without_idle(self) -> Attempt:
        attempt = self._made((), {})
        return self._none if self._harms(attempt) else attempt

    @cached_property
    def _none(self) -> Attempt:
        return Attempt((), self.before, self._wrong(self.before), len(self._names.contradicted))

    def _wrong(self, verdicts: Iterable[TargetVerdict]) -> int:
        return sum(len(verdict.wrong) for verdict in verdicts)

    def _harms(self, attempt: Attempt) -> bool:
        pairs = zip(self.before, attempt.after, strict=True)
        return any(harms(old, new) for old, new in pairs)

    def _attempt(self, spelling: Spelling, *, drops: bool) -> Attempt:
        """Changes in one spelling; modules that are still wrong are added until none remains."""
        wanted: dict[str, Wanted] = {}
        dropped: dict[str, tuple[Statement, ...]] = {}
        if drops:
            dropped = self._names.dropped
            wanted |= self._names.correctly_declared(dropped, spelling)
        after, attempt = self.before, self._none
        for _ in range(_ROUNDS):
            more = self._names.wanted(after, spelling)
            if more.keys() <= wanted.keys() and attempt is not self._none:
                break
            wanted |= more
            attempt = self._made(tuple(wanted.values()), dropped)
            after = attempt.after
            if not attempt.wrong:
                break
        return attempt

    @cached_property
    def _attempts(self) -> dict[Hashable, Attempt]:
        """What was wanted and dropped -> what came of it; several spellings may want the same."""
        return {}

    def _made(
        self, wanted: Sequence[Wanted], dropped: Mapping[str, tuple[Statement, ...]]
    ) -> Attempt:
        places = (tuple(statement.place for statement in gone) for gone in dropped.values())
        key = tuple(wanted), tuple(zip(dropped, places, strict=True))
        if key not in self._attempts:
            self._attempts[key] = self._attempted(wanted, dropped)
        return self._attempts[key]

    def _attempted(
        self, wanted: Sequence[Wanted], dropped: Mapping[str, tuple[Statement, ...]]
    ) -> Attempt:
        files = []
        for metadata in self.checkpoint.metadata:
            document = self.checkpoint.documents[metadata.file]
            value = value_at(document.value, metadata.root)
            idle = (s for s in metadata.statements if s.place in self._idle)
            gone = (*dropped.get(metadata.file, ()), *idle)
            changes = self.speller.changes(SpellingTask(metadata, value, wanted, gone))
            files.append(changed_file(document, changes, names=True))
        changed = tuple(file for file in files if file.edits)
        after = rewritten(self.checkpoint, changed)
        verdicts = judge_each(after, self.targets)
        return Attempt(changed, verdicts, self._wrong(verdicts), self._lost(after))

    def _lost(self, after: Checkpoint) -> int:
        return len(
            self._names.wrong_in(after) - (self._names.wrong_here - self._names.contradicted)
        )


def _without_releases(
    checkpoint: Checkpoint, name_map: NameMap, verdicts: tuple[TargetVerdict, ...]
) -> tuple[Finding, ...]:
    """The findings that do not depend on a release."""
    found = find_all(checkpoint, name_map, verdicts)
    return tuple(finding for finding in found if finding.rule.needs != "release")
