"""What a rule is and what it finds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Literal

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats import StoredFormat
from ckptfix.checkpoint.metadata import MetadataFile
from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.commands import with_name
from ckptfix.place import Place
from ckptfix.rules.reading import Declared, covered_by_entries, declarations, excluded
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.verdict import TargetVerdict


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """A runtime that goes by the metadata builds the module wrongly."""
    WARNING = "warning"
    """A statement without effect, or an effect that depends on the runtime."""


Repair = Literal["", "rewrite", "rewrite --from-tensors", "rewrite --tensors"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule at a place."""

    code: str
    subject: str
    """The module name, pattern or file at fault; may hold unprintable characters."""
    message: str
    """What is wrong, continuing a sentence that starts with the subject."""
    place: Place
    advice: str
    """What the user does about it."""
    modules: tuple[str, ...] = ()
    """Checkpoint names of the modules it is about."""
    expected: str = ""
    """The name that should stand there instead, where there is one."""
    releases: tuple[str, ...] = ()
    """The releases it holds for, of those asked about; empty when it does not depend on one."""


@dataclass(frozen=True)
class Context:
    """What every rule sees."""

    checkpoint: Checkpoint
    naming: Naming
    verdicts: tuple[TargetVerdict, ...] = ()
    """Of the releases that the user asked about."""
    numbers: Numbers = NOT_MEASURED
    """What reading the weights gave; nothing unless `verify` asks."""
    _excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    _covered: dict[str, dict[str, str]] = field(default_factory=dict)

    def excluded(self, metadata: MetadataFile) -> Mapping[str, int]:
        """Module -> index of the first pattern that excludes it; read once for all rules."""
        if metadata.file not in self._excluded:
            self._excluded[metadata.file] = excluded(self.naming, metadata)
        return self._excluded[metadata.file]

    def covered_by_entries(self, metadata: MetadataFile) -> Mapping[str, str]:
        """Module -> the entry that stands for it; read once for all rules."""
        if metadata.file not in self._covered:
            self._covered[metadata.file] = covered_by_entries(self.naming, metadata)
        return self._covered[metadata.file]

    @cached_property
    def all_names(self) -> str:
        """All checkpoint names, one a line, to look for a part of any of them at once."""
        return "\n".join(self.checkpoint.modules)

    @cached_property
    def declared(self) -> tuple[tuple[Declared, StoredFormat], ...]:
        """What each file declares for each module, and what is stored."""
        formats = self.checkpoint.formats
        made = declarations(self.checkpoint, self.naming)
        return tuple((declared, formats[declared.module]) for declared in made)


@dataclass(frozen=True)
class Rule:
    """A rule, declared beside the function that finds."""

    code: str
    title: str
    severity: Severity
    why: str
    """What happens in a runtime, with a real example."""
    fix: str
    fixed_by: Repair
    """The command that repairs it; empty where none does."""
    find: Callable[[Context], Iterable[Finding]]

    @property
    def fixed_by_rewrite(self) -> bool:
        """True where `ckptfix rewrite` repairs it, be it by names or from the tensors."""
        return bool(self.fixed_by)


_declared: list[Rule] = []


def rule(
    code: str, title: str, severity: Severity, *, why: str, fix: str, fixed_by: Repair = ""
) -> Callable[[Callable[[Context], Iterable[Finding]]], Rule]:
    """Declare the decorated function as a rule."""

    def declare(find: Callable[[Context], Iterable[Finding]]) -> Rule:
        declared = Rule(code, title, severity, why, with_name(fix, "DIR"), fixed_by, find)
        _declared.append(declared)
        return declared

    return declare


def declared_rules() -> tuple[Rule, ...]:
    """Every rule declared so far, by code."""
    return tuple(sorted(_declared, key=lambda r: r.code))
