"""The names that the metadata needs for modules that a release builds incorrectly.

For dialects with their own reading; `spelled.py` tries them in one spelling after another.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.interface import Reading, Wanted
from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.checkpoint.formats.layers import StoredLayer
from ckptfix.names import is_class_name
from ckptfix.rewriting.rebuild.stored_layers import stored_layers
from ckptfix.rules.misread import Misread, Why, leaves_out, misread
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.module_verdict import ModuleVerdict
from ckptfix.runtimes.name_maps import NameMap
from ckptfix.runtimes.placing import looked_up
from ckptfix.runtimes.target_verdict import TargetVerdict

_BANK: Final = re.compile(r"(.*\.experts)\.\d+\..*")
_NAMING: Final = frozenset({Why.SPELLING, Why.PARENT, Why.REACH})
"""Causes that only concern names; the others contradict the tensors."""

Spelling = tuple[str, ...]
"""As the tensors spell a module (`stored`), as the release spells its members (`members`), or as it
spells the packed module (`looked up`)."""


class WantedNames(Struct, frozen=True, dict=True):
    """What the metadata of one checkpoint has to declare by name, and what it declares wrongly."""

    checkpoint: Checkpoint
    reading: Reading
    name_map: NameMap
    verdicts: tuple[TargetVerdict, ...]
    """Of the target releases, for the checkpoint as it is."""
    from_tensors: bool
    """Also repair what contradicts the tensors."""

    @cached_property
    def contradicted(self) -> frozenset[str]:
        """Modules that a name contradicts, if that is to be repaired.

        What a file declares for all modules is weaker: it does not mention routers and heads.
        """
        if not self.from_tensors:
            return frozenset()
        declarations = Declarations.of(self.checkpoint, self.name_map)
        found: set[str] = set()
        for metadata in self.checkpoint.metadata:
            decided = declarations.decided(self.reading, metadata)
            for module in self.wrong_here:
                decision = decided[module]
                is_named = isinstance(decision, Statement) and not is_class_name(decision.name)
                if is_named or decision is None:
                    found.add(module)
        return frozenset(found)

    @cached_property
    def wrong_here(self) -> frozenset[str]:
        """The modules that the quantizer reads differently from how they are stored."""
        return self.wrong_in(self.checkpoint)

    def wrong_in(self, checkpoint: Checkpoint) -> frozenset[str]:
        """The same for a checkpoint with the same tensors and other metadata."""
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

    def wanted(self, verdicts: Iterable[TargetVerdict], spelling: Spelling) -> dict[str, Wanted]:
        """Checkpoint name -> what the metadata must declare, for modules that are wrong."""
        wanted: dict[str, Wanted] = {}
        for verdict in verdicts:
            if verdict.names is None:
                continue
            for module in verdict.wrong:
                if module.name and self._may_help(verdict, module):
                    self._want(wanted, verdict.names, module, spelling)
        for name in self.contradicted:
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
    def _misread(self) -> tuple[Misread, ...]:
        declarations = Declarations.of(self.checkpoint, self.name_map)
        return misread(self.checkpoint, self.reading, declarations, self.verdicts)

    @cached_property
    def _whys(self) -> Mapping[tuple[str, str], Why]:
        return {(str(each.target), each.module.name): each.why for each in self._misread}

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
    def dropped(self) -> dict[str, tuple[Statement, ...]]:
        """File -> the statements that make a release or the quantizer misread a module."""
        names = {
            each.statement.name
            for each in self._misread
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

    def correctly_declared(
        self, dropped: Mapping[str, tuple[Statement, ...]], spelling: Spelling
    ) -> dict[str, Wanted]:
        """What the dropped statements declare correctly, by module."""
        wanted: dict[str, Wanted] = {}
        for metadata in self.checkpoint.metadata:
            for statement in dropped.get(metadata.file, ()):
                for name in self._matched(statement):
                    wanted[name] = Wanted((name,), self._layers.get(name))
        for verdict in self.verdicts:
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
