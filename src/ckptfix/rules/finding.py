"""What a rule is and what it finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.errors import Place
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.verdict import TargetVerdict


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """A runtime that goes by the metadata builds the module wrongly."""
    WARNING = "warning"
    """A statement without effect, or an effect that depends on the runtime."""


Repair = Literal["", "rewrite", "rewrite --from-tensors"]


@dataclass(frozen=True)
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
        declared = Rule(code, title, severity, why, fix, fixed_by, find)
        _declared.append(declared)
        return declared

    return declare


def declared_rules() -> tuple[Rule, ...]:
    """Every rule declared so far, by code."""
    return tuple(sorted(_declared, key=lambda r: r.code))
