"""What a rule is and what it finds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final, Literal

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats import StoredFormat
from ckptfix.checkpoint.metadata import MetadataFile
from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
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


RepairCommand = Literal["rewrite", "rewrite --from-tensors", "rewrite --tensors"]
"""A command of ours that repairs something."""
Repair = RepairCommand | Literal[""]
"""The same; empty where none does."""
Needs = Literal["headers", "weights", "release"]
"""What a rule looks at besides the metadata: the headers of the tensors, their values (only
`verify` reads those), or what a release of a runtime makes of the checkpoint."""


@dataclass(frozen=True, slots=True)
class Related:
    """Another place that a finding is about."""

    place: Place
    note: str
    """What is there, as a phrase: `says NVFP4`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule at a place; rules make them with `Context.finding`."""

    rule: "Rule"
    subject: str
    """The module name, pattern or file at fault; may hold unprintable characters."""
    message: str
    """What is wrong, continuing a sentence that starts with the subject."""
    place: Place
    """The place to change, or the first of them."""
    advice: str
    """What the user does about it."""
    fixed_by: Repair
    """The command that repairs it; empty where none does."""
    modules: tuple[str, ...] = ()
    """Checkpoint names of the modules it is about."""
    expected: str = ""
    """The correct name, where there is one."""
    releases: tuple[str, ...] = ()
    """The requested releases that it holds for; empty when it does not depend on one."""
    related: tuple[Related, ...] = ()
    """Further places."""
    depends_on_experts: bool = False
    """Its text depends on experts that are neither its subject nor among its modules."""

    @property
    def code(self) -> str:
        """Of the rule."""
        return self.rule.code


@dataclass(frozen=True)
class Facts:
    """What all rules look at; whatever several of them read is read once."""

    checkpoint: Checkpoint
    naming: Naming
    verdicts: tuple[TargetVerdict, ...] = ()
    """Of the requested releases."""
    numbers: Numbers = NOT_MEASURED
    """Measured from the weights by `verify`, otherwise empty."""
    _excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    _covered: dict[str, dict[str, str]] = field(default_factory=dict)

    def excluded(self, metadata: MetadataFile) -> Mapping[str, int]:
        """Module -> index of the first pattern that excludes it."""
        if metadata.file not in self._excluded:
            self._excluded[metadata.file] = excluded(self.naming, metadata)
        return self._excluded[metadata.file]

    def covered_by_entries(self, metadata: MetadataFile) -> Mapping[str, str]:
        """Module -> the entry that stands for it."""
        if metadata.file not in self._covered:
            self._covered[metadata.file] = covered_by_entries(self.naming, metadata)
        return self._covered[metadata.file]

    @cached_property
    def all_names(self) -> str:
        """All checkpoint names, one per line, to look for a part of any of them at once."""
        return "\n".join(self.checkpoint.modules)

    @cached_property
    def declared(self) -> tuple[tuple[Declared, StoredFormat], ...]:
        """What each file declares for each module, and what is stored."""
        formats = self.checkpoint.formats
        made = declarations(self.checkpoint, self.naming)
        return tuple((declared, formats[declared.module]) for declared in made)


@dataclass(frozen=True, slots=True)
class Context:
    """The facts as one rule sees them."""

    rule: "Rule"
    facts: Facts

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint."""
        return self.facts.checkpoint

    @property
    def naming(self) -> Naming:
        """How the names in its metadata are read."""
        return self.facts.naming

    @property
    def verdicts(self) -> tuple[TargetVerdict, ...]:
        """Of the requested releases."""
        return self.facts.verdicts

    @property
    def numbers(self) -> Numbers:
        """Measured from the weights by `verify`, otherwise empty."""
        return self.facts.numbers

    @property
    def all_names(self) -> str:
        """See `Facts`."""
        return self.facts.all_names

    @property
    def declared(self) -> tuple[tuple[Declared, StoredFormat], ...]:
        """See `Facts`."""
        return self.facts.declared

    def excluded(self, metadata: MetadataFile) -> Mapping[str, int]:
        """See `Facts`."""
        return self.facts.excluded(metadata)

    def covered_by_entries(self, metadata: MetadataFile) -> Mapping[str, str]:
        """See `Facts`."""
        return self.facts.covered_by_entries(metadata)

    def finding(  # noqa: PLR0913 - one for each field of a finding
        self,
        *,
        subject: str,
        message: str,
        place: Place,
        advice: str,
        modules: tuple[str, ...] = (),
        expected: str = "",
        releases: tuple[str, ...] = (),
        related: tuple[Related, ...] = (),
        fixed_by: Repair | None = None,
        depends_on_experts: bool = False,
    ) -> Finding:
        """A finding of this rule; `fixed_by` where it differs from that of the rule."""
        return Finding(
            self.rule,
            subject,
            message,
            place,
            advice,
            self.rule.fixed_by if fixed_by is None else fixed_by,
            modules,
            expected,
            releases,
            related,
            depends_on_experts,
        )


Find = Callable[[Context], Iterable[Finding]]


@dataclass(frozen=True, eq=False, repr=False)
class Rule:
    """Everything about a rule, declared beside the function that finds."""

    code: str
    title: str
    severity: Severity
    family: "Family"
    why: str
    """What happens in a runtime, with a real example."""
    fix: str
    fixed_by: Repair
    """The command that repairs most of its findings; empty where none does."""
    needs: Needs
    blocks_loading: bool
    """The tensors themselves are wrong: no release loads them, whatever it resolves."""
    refuses_rename: bool
    """A rewrite must not give a name that has such a finding, even if the old name had it."""
    blocks_verify: bool
    """`verify` cannot decode such a module, so it reports the finding too."""
    since: str
    """The version of ckptfix that had it first."""
    look: Find

    def __repr__(self) -> str:
        return f"<{self.code} {self.title}>"

    def find(self, facts: Facts) -> Iterable[Finding]:
        """Everything that breaks the rule, in the order of the files."""
        return self.look(Context(self, facts))


@dataclass(frozen=True)
class Family:
    """Rules about one thing; several files may declare the same."""

    prefix: str
    """The beginning of their codes: `CKF1`."""
    title: str

    def rule(  # noqa: PLR0913 - the declaration of a rule
        self,
        code: str,
        title: str,
        severity: Severity,
        *,
        why: str,
        fix: str,
        since: str,
        fixed_by: Repair = "",
        needs: Needs = "headers",
        blocks_loading: bool = False,
        refuses_rename: bool = False,
        blocks_verify: bool = False,
    ) -> Callable[[Find], Rule]:
        """Declare the decorated function as a rule of this family.

        Raises:
            ValueError: the code is not of this family or is declared already, or another file
                gives the family another title.
        """

        def declare(look: Find) -> Rule:
            if not code.startswith(self.prefix) or code in _declared:
                raise ValueError(f"{code} is not a new code of {self.prefix}")
            same = (
                rule.family for rule in _declared.values() if code.startswith(rule.family.prefix)
            )
            if any(family != self for family in same):
                raise ValueError(f"{self.prefix} has several titles")
            made = Rule(
                code,
                title,
                severity,
                self,
                why,
                fix,
                fixed_by,
                needs,
                blocks_loading,
                refuses_rename,
                blocks_verify,
                since,
                look,
            )
            _declared[code] = made
            return made

        return declare


_declared: Final[dict[str, Rule]] = {}


def declared_rules() -> dict[str, Rule]:
    """Code -> rule, for every rule declared so far, by code."""
    return dict(sorted(_declared.items()))
