"""The names that releases need in a dialect with its own reading, proved by resolving them again.

A release may match names differently from the quantizer, or spell them differently. For each module
that it builds incorrectly, names are added in the spelling that helps; a name that decides
incorrectly is replaced by names of the modules for which it is correct.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Reading, Speller, SpellingTask, Wanted
from ckptfix.checkpoint.dialects.statements import Statement, value_at
from ckptfix.checkpoint.formats.layers import StoredLayer
from ckptfix.names import is_class_name
from ckptfix.place import Place
from ckptfix.rewriting.plan import FileChange, Plan, rewritten
from ckptfix.rewriting.portable import PortablePlan
from ckptfix.rewriting.proof import find_harm
from ckptfix.rewriting.rebuild.plan import changed_file
from ckptfix.rewriting.rebuild.stored_layers import stored_layers
from ckptfix.rules.finding import Finding
from ckptfix.rules.misread import Why, leaves_out, misread
from ckptfix.rules.reading import Declarations
from ckptfix.rules.registry import find_all
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.placing import looked_up
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import TargetVerdict, judge_each

_BANK: Final = re.compile(r"(.*\.experts)\.\d+\..*")
_ROUNDS: Final = 3
"""A list that a release derives from the tensors if it is missing has to be written completely:
each round adds what the previous one missed."""
_NAMING: Final = frozenset({Why.SPELLING, Why.PARENT, Why.REACH})
"""Causes that only concern names; the others contradict the tensors."""

Spelling = tuple[str, ...]
_SPELLINGS: Final[tuple[Spelling, ...]] = (
    ("stored",),
    ("members",),
    ("looked up",),
    ("stored", "looked up"),
    ("stored", "members"),
    ("stored", "members", "looked up"),
)
"""Tried in this order: as the tensors spell a module, as the release spells its members, and as it
spells the packed module."""


@dataclass(frozen=True)
class Attempt:
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


@dataclass(frozen=True)
class SpelledPlanner:
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
        return Attempt((), self.before, self._wrong(self.before), len(self._contradicted))

    @cached_property
    def _contradicted(self) -> frozenset[str]:
        """Modules that a name contradicts, if that is to be repaired.

        What a file declares for all modules is weaker: it does not mention routers and heads.
        """
        if not self.from_tensors:
            return frozenset()
        declarations = Declarations.of(self.checkpoint, self.name_map)
        found: set[str] = set()
        for metadata in self.checkpoint.metadata:
            decided = declarations.decided(self.reading, metadata)
            for module in self._wrong_here:
                decision = decided[module]
                is_named = isinstance(decision, Statement) and not is_class_name(decision.name)
                if is_named or decision is None:
                    found.add(module)
        return frozenset(found)

    def _wrong(self, verdicts: Iterable[TargetVerdict]) -> int:
        return sum(len(verdict.wrong) for verdict in verdicts)

    def _harms(self, attempt: Attempt) -> bool:
        pairs = zip(self.before, attempt.after, strict=True)
        return any(
            (new.refused and not old.fails)
            or not {m.label for m in new.wrong} <= {m.label for m in old.wrong}
            for old, new in pairs
        )

    def _attempt(self, spelling: Spelling, *, drops: bool) -> Attempt:
        """Changes in one spelling; modules that are still wrong are added until none remains."""
        wanted: dict[str, Wanted] = {}
        dropped: dict[str, tuple[Statement, ...]] = {}
        if drops:
            dropped = self._dropped
            wanted |= self._correctly_declared(dropped, spelling)
        after, attempt = self.before, self._none
        for _ in range(_ROUNDS):
            more = self._wanted(after, spelling)
            if more.keys() <= wanted.keys() and attempt is not self._none:
                break
            wanted |= more
            attempt = self._made(tuple(wanted.values()), dropped)
            after = attempt.after
            if not attempt.wrong:
                break
        return attempt

    def _made(
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
        return len(self._wrong_in(after) - (self._wrong_here - self._contradicted))

    @cached_property
    def _wrong_here(self) -> frozenset[str]:
        return self._wrong_in(self.checkpoint)

    def _wrong_in(self, checkpoint: Checkpoint) -> frozenset[str]:
        """The given modules that the quantizer reads differently from how they are stored."""
        declarations = Declarations.of(checkpoint, self.name_map)
        judged = looked_up(checkpoint)
        wrong: set[str] = set()
        for metadata in checkpoint.metadata:
            for module, decision in declarations.decided(self.reading, metadata).items():
                if judged is not None and module not in judged:
                    continue
                algo = decision.quant_algo if decision is not None else None
                stored = checkpoint.formats[module]
                if not stored.problem and (
                    stored.is_quantized if not algo else stored.fit(algo) is None
                ):
                    wrong.add(module)
        return frozenset(wrong)

    def _wanted(self, verdicts: Iterable[TargetVerdict], spelling: Spelling) -> dict[str, Wanted]:
        """Checkpoint name -> what the metadata must declare, for modules that are wrong."""
        wanted: dict[str, Wanted] = {}
        for verdict in verdicts:
            if verdict.names is None:
                continue
            for module in verdict.wrong:
                if module.name and self._may_help(verdict, module):
                    self._want(wanted, verdict.names, module, spelling)
        for name in self._contradicted:
            if name not in wanted and (name in self._layers or name in self._unquantized):
                wanted[name] = Wanted((name,), self._layers.get(name))
        return wanted

    def _may_help(self, verdict: TargetVerdict, module: ModuleVerdict) -> bool:
        """True unless the name is correct, or only `from_tensors` repairs it."""
        if module.resolved == module.stored:
            return False  # sizes
        key = str(verdict.target), module.name
        why = self._whys.get(key)
        return self.from_tensors or why is None or why in _NAMING

    @cached_property
    def _whys(self) -> Mapping[tuple[str, str], Why]:
        declarations = Declarations.of(self.checkpoint, self.name_map)
        found = misread(self.checkpoint, self.reading, declarations, self.before)
        return {(str(each.target), each.module.name): each.why for each in found}

    def _want(
        self,
        wanted: dict[str, Wanted],
        names: BoundNames,
        module: ModuleVerdict,
        spelling: Spelling,
    ) -> None:
        layers = {self._layers.get(member) for member in module.members}
        if len(layers) > 1 or any(self.checkpoint.formats[m].problem for m in module.members):
            return  # the members have no common scheme
        layer = layers.pop()
        spelled: dict[str, None] = {}
        if "stored" in spelling:
            spelled |= dict.fromkeys(map(_bank_or_name, module.members))
        if "members" in spelling:
            spelled |= dict.fromkeys(names.members(module.name) or module.members)
        if "looked up" in spelling:
            spelled[module.name] = None
        known = wanted.get(module.members[0])
        every = (*(known.names if known else ()), *spelled)
        wanted[module.members[0]] = Wanted(tuple(dict.fromkeys(every)), layer)

    @cached_property
    def _layers(self) -> Mapping[str, StoredLayer]:
        declarations = Declarations.of(self.checkpoint, self.name_map)
        return stored_layers(self.checkpoint, declarations.names).quantized

    @cached_property
    def _unquantized(self) -> frozenset[str]:
        return frozenset(self.checkpoint.unquantized_linears)

    @cached_property
    def _dropped(self) -> dict[str, tuple[Statement, ...]]:
        """File -> the statements that make a release or the quantizer misread a module."""
        declarations = Declarations.of(self.checkpoint, self.name_map)
        names = {
            each.statement.name
            for each in misread(self.checkpoint, self.reading, declarations, self.before)
            if each.statement is not None
            and not is_class_name(each.statement.name)
            and (self.from_tensors or each.why in _NAMING)
        }
        return {
            metadata.file: tuple(
                s for s in metadata.statements
                if s.name in names and s.key not in self.reading.alternatives
            )
            for metadata in self.checkpoint.metadata
        }  # fmt: skip

    def _correctly_declared(
        self, dropped: Mapping[str, tuple[Statement, ...]], spelling: Spelling
    ) -> dict[str, Wanted]:
        """What the dropped statements declare correctly, by module."""
        wanted: dict[str, Wanted] = {}
        for metadata in self.checkpoint.metadata:
            for statement in dropped.get(metadata.file, ()):
                for name in self._matched(statement):
                    wanted[name] = Wanted((name,), self._layers.get(name))
        for verdict in self.before:
            for module in verdict.modules if verdict.names else ():
                if module.members[0] in wanted and module.name and verdict.names:
                    self._want(wanted, verdict.names, module, spelling)
        return wanted

    def _matched(self, statement: Statement) -> Iterator[str]:
        for name, stored in self.checkpoint.formats.items():
            is_known = name in self._layers or name in self._unquantized
            is_correct = leaves_out(statement) != stored.is_quantized
            if is_known and is_correct and self.reading.matches(statement, name):
                yield name


def _bank_or_name(member: str) -> str:
    found = _BANK.fullmatch(member)
    return found[1] if found else member


def _without_releases(
    checkpoint: Checkpoint, name_map: NameMap, verdicts: tuple[TargetVerdict, ...]
) -> tuple[Finding, ...]:
    """The findings that do not depend on a release."""
    found = find_all(checkpoint, name_map, verdicts)
    return tuple(finding for finding in found if finding.rule.needs != "release")
