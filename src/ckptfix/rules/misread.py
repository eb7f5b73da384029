"""Names in the metadata that make a release build a module in a different format than stored.

For dialects whose names only the quantizer's own reading explains. A name that the quantizer reads
correctly and a release does not is misread; otherwise the metadata contradicts the tensors.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Reading
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.names import is_class_name
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleVerdict
from ckptfix.runtimes.release_names import ReleaseNames
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target

Decision = Statement | MetadataFile | None
_Cause = tuple["Why", Statement | None, str]
"""What is wrong, where, and with which member."""
_NUMBER_AT_END: Final = re.compile(r"(?<!\d)(\d+)\W*$")


class Why(Enum):
    """What is wrong with the name."""

    SPELLING = auto()
    """It names the module in a spelling that the release does not look up."""
    PARENT = auto()
    """It names a parent of the module, and the release maps it to a different name."""
    REACH = auto()
    """It matches more, or fewer, modules in the release than in the quantizer."""
    MEMBERS = auto()
    """The members of a packed module have different schemes."""
    NOT_LISTED = auto()
    """Nothing quantizes a module that is stored quantized."""
    EXCLUDED = auto()
    """It leaves a module unquantized that is stored quantized."""
    NOT_EXCLUDED = auto()
    """Nothing leaves a module unquantized that is stored so."""
    LISTED = auto()
    """It quantizes a module that is stored unquantized."""
    SCHEME = auto()
    """It declares a scheme that differs from the stored one."""


class Misread(Struct, frozen=True):
    """One module in one release, and the statement that is why."""

    why: Why
    statement: Statement | None
    """None if there is none."""
    member: str
    """Checkpoint name of the module, or the member, for which it is wrong."""
    metadata: MetadataFile
    module: ModuleVerdict
    target: Target


def misread(
    checkpoint: Checkpoint,
    reading: Reading,
    declarations: Declarations,
    verdicts: Sequence[TargetVerdict],
) -> tuple[Misread, ...]:
    """Every module that a release builds differently than stored because of a name."""
    files = {metadata.file: metadata for metadata in checkpoint.metadata}
    found: list[Misread] = []
    for verdict in verdicts:
        metadata = files.get(verdict.metadata.file) if verdict.metadata else None
        if metadata is None or verdict.names is None or not verdict.wrong:
            continue
        decided = declarations.decided(reading, metadata)
        reader = _Reader(checkpoint, reading, metadata, verdict.names, decided)
        parents = reader.parents(verdict.modules)
        found += [
            Misread(*cause, metadata, module, verdict.target)
            for module in verdict.wrong
            if module.name and (cause := reader.cause(module, parents))
        ]
    return tuple(found)


def leaves_out(statement: Statement) -> bool:
    """True for a statement that leaves modules unquantized."""
    return statement.kind == "exclude" or (
        statement.kind == "entry" and statement.quant_algo is None
    )


def runs_on(statement: Statement, module: str) -> bool:
    """True if the number at the end of a name is only the beginning of one in a module.

    >>> statement = Statement("exclude", "model.layers.2", "config.json", ())
    >>> runs_on(statement, "model.layers.20.mlp"), runs_on(statement, "model.layers.2.mlp")
    (True, False)
    """
    number = _NUMBER_AT_END.search(statement.name)
    if number is None:
        return False
    parts = [part for part in module.split(".") if part.isdigit()]
    begun = [part for part in parts if part.startswith(number[1])]
    return bool(begun) and number[1] not in parts


class _Reader(Struct, frozen=True):
    """The metadata file that a release reads, as the quantizer reads it."""

    checkpoint: Checkpoint
    reading: Reading
    metadata: MetadataFile
    names: BoundNames
    decided: Mapping[str, Decision]

    def parents(self, modules: Sequence[ModuleVerdict]) -> Mapping[str, Statement]:
        """Runtime name of a module -> the name of its parent that the release maps differently."""
        release = ReleaseNames(
            self.names,
            tuple(RuntimeModule(m.name, m.members, "linear", True) for m in modules if m.name),
        )
        found: dict[str, Statement] = {}
        for statement in self._plain():
            if statement.kind == "target":
                continue
            below = release.below(statement.name)
            if below is None or self.names.map(statement.name) == below:
                continue
            for module in release.modules:
                if module.name == below or module.name.startswith(f"{below}."):
                    found.setdefault(module.name, statement)
        return found

    def _plain(self) -> Iterator[Statement]:
        for statement in self.metadata.statements:
            is_plain = not self.reading.is_expression(statement)
            if is_plain and "." in statement.name:
                yield statement

    def cause(self, module: ModuleVerdict, parents: Mapping[str, Statement]) -> _Cause | None:
        """What is wrong, and where; None if no name is at fault."""
        formats = [self.checkpoint.formats[member] for member in module.members]
        if any(stored.problem for stored in formats):
            return None
        parent = parents.get(module.name)
        if parent is not None and leaves_out(parent) == (module.stored == UNQUANTIZED):
            return Why.PARENT, parent, module.members[0]
        decisions = [self._decision(member) for member in module.members]
        if module.resolved == "error":
            schemes = {_scheme(decision) for decision in decisions}
            differ = len(schemes) > 1
            deciding = self._deciding(module.members)
            return (Why.MEMBERS, deciding, module.members[0]) if differ else None
        decided = zip(module.members, decisions, strict=True)
        wrong = next(((m, d) for m, d in decided if not self._is_right(m, d)), None)
        return self._misreading(module) if wrong is None else self._contradiction(*wrong)

    def _decision(self, member: str) -> Decision:
        if member in self.decided:
            return self.decided[member]
        return self.reading.decides(self.metadata, member)  # a bank of experts without a weight

    def _is_right(self, member: str, decision: Decision) -> bool:
        stored = self.checkpoint.formats[member]
        if decision is None or not decision.quant_algo:
            return not stored.is_quantized
        fit = stored.fit(decision.quant_algo)
        sizes = {decision.group_size, fit.group_size or None if fit else None} - {None}
        return fit is not None and len(sizes) < 2

    def _misreading(self, module: ModuleVerdict) -> _Cause | None:
        """The quantizer's reading agrees with the tensors, but the release's does not."""
        if module.resolved == module.stored:
            return None  # sizes or missing tensors
        for statement in self.metadata.statements:
            decides = statement.name == module.decided_by
            skips = module.resolved == UNQUANTIZED and leaves_out(statement)
            if (decides or skips) and self._matches_by_accident(statement, module):
                return Why.REACH, statement, module.members[0]
        own = self._deciding(module.members)
        looked_up = (module.name, *self.names.members(module.name))
        if own is None:
            listed = (s for s in self._plain() if not leaves_out(s))
            hit = next((s for s in listed if self._matches_any(self._mapped(s), looked_up)), None)
            return None if hit is None else (Why.REACH, hit, module.members[0])
        if is_class_name(own.name):  # the release determines the class of a layer
            return (
                (Why.NOT_LISTED, None, module.members[0])
                if module.resolved == UNQUANTIZED
                else None
            )
        spelled = own if self.reading.is_expression(own) else self._mapped(own)
        reaches = self._matches_any(spelled, looked_up)
        return (Why.REACH if reaches else Why.SPELLING), own, module.members[0]

    def _matches_any(self, statement: Statement, names: Iterable[str]) -> bool:
        return any(self.reading.matches(statement, name) for name in names)

    def _mapped(self, statement: Statement) -> Statement:
        """The statement with its name as the release maps it."""
        return replace(statement, name=self.names.map(statement.name) or statement.name)

    def _matches_by_accident(self, statement: Statement, module: ModuleVerdict) -> bool:
        if is_class_name(statement.name) or not self.reading.matches(statement, module.name):
            return False
        return not all(self.reading.matches(statement, member) for member in module.members)

    def _deciding(self, members: Iterable[str]) -> Statement | None:
        """The statement that decides for the first member that has one."""
        for member in members:
            decision = self._decision(member)
            if isinstance(decision, Statement):
                return decision
            if decision is None and (found := self._leaving(member)):
                return found
        return None

    def _leaving(self, member: str) -> Statement | None:
        left = (s for s in self.metadata.statements if leaves_out(s))
        return next((s for s in left if self.reading.matches(s, member)), None)

    def _contradiction(self, member: str, decision: Decision) -> _Cause:
        """The metadata contradicts the tensors in every reading."""
        statement = self._deciding([member])
        if statement is not None and runs_on(statement, member):
            return Why.REACH, statement, member
        if not self.checkpoint.formats[member].is_quantized:
            named = statement is not None and not is_class_name(statement.name)
            return (Why.LISTED if named else Why.NOT_EXCLUDED), statement, member
        if decision is None:
            why = Why.EXCLUDED if statement else Why.NOT_LISTED
            return why, statement, member
        return Why.SCHEME, statement, member


def _scheme(decision: Decision) -> object:
    if decision is None or not decision.quant_algo:
        return None
    return decision.quant_algo, decision.group_size, decision.symmetric
