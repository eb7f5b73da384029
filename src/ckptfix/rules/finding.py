"""Rules, families of rules, and findings."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from inspect import cleandoc
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from ckptfix.checkpoint.expert_banks import Banks
from ckptfix.place import Place

if TYPE_CHECKING:
    from ckptfix.rules.context import Context


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """A runtime that uses the metadata builds the module incorrectly."""
    WARNING = "warning"
    """A statement without effect, or an effect that depends on the runtime."""


class Repair(Enum):
    """The kind of rewrite that repairs something, as a call of the Python API."""

    NAMES = "rewrite()"
    """Renames modules in the metadata."""
    CONTENT = "rewrite(from_tensors=True)"
    """Rebuilds the metadata from the tensors."""
    TENSORS = "rewrite(tensors=True)"
    """Renames tensors."""

    @property
    def arguments(self) -> str:
        """The arguments of the call: `from_tensors=True`."""
        return self.value.removeprefix("rewrite(").removesuffix(")")


Needs = Literal["headers", "weights", "release"]
"""What a rule needs besides the metadata: the headers of the tensors, their values (only `verify`
reads those), or the verdict of a runtime release."""


BY_HAND: Final = "correct it by hand; no rewrite repairs it"
"""Advice if the rewrite of the rule does not repair this finding."""


def to_rewrite(call: str, effect: str) -> str:
    """Advice to run a rewrite.

    >>> print(to_rewrite("rewrite()", "renames it"))
    `rewrite()` renames it
    """
    return f"`{call}` {effect}" if effect else f"run `{call}`"


@dataclass(frozen=True, slots=True)
class Related:
    """A further place of a finding."""

    place: Place
    note: str
    """What is there, as a phrase: `declares NVFP4`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule at a place; `Context.finding` makes them."""

    rule: "Rule"
    subject: str
    """The module name, pattern or file at fault; may hold unprintable characters."""
    message: str
    """What is wrong, continuing a sentence that starts with the subject."""
    place: Place
    """The place to change, or the first of them."""
    advice: str
    """What the user does about it."""
    fixed_by: Repair | None
    """The rewrite that repairs it."""
    modules: tuple[str, ...] = ()
    """Checkpoint names of the modules it is about."""
    expected: str = ""
    """The correct name, if there is one."""
    releases: tuple[str, ...] = ()
    """The requested releases that it holds for; empty when it does not depend on one."""
    related: tuple[Related, ...] = ()
    """Further places."""
    depends_on_experts: bool = False
    """Its text depends on experts that are neither its subject nor among its modules."""
    count: int = 1
    """Number of places it represents: beyond thousands of them, the rest is one finding."""
    effect: str | None = None
    """What a rewrite does about it, as a phrase: `adds it as FP8`; empty if the call is enough,
    None if the advice is to repair it by hand."""
    banks: Banks | None = field(default=None, repr=False)
    """Expert banks whose expert 0 represents all of them in the names of this finding."""

    @property
    def experts(self) -> int:
        """How many findings it represents, one for each expert of a bank."""
        return 1 if self.banks is None else self.banks.number(self.subject)

    @property
    def code(self) -> str:
        """The code of the rule."""
        return self.rule.code


def number_of(findings: Iterable[Finding]) -> int:
    """How many findings they are, by place and expert; every output shows this number."""
    return sum(finding.count for finding in findings)


def numbers_by_rule(findings: Iterable[Finding]) -> "Counter[Rule]":
    """The same by rule, in the order of the codes."""
    found: Counter[Rule] = Counter()
    for finding in sorted(findings, key=lambda finding: finding.code):
        found[finding.rule] += finding.count
    return found


Find = Callable[["Context"], Iterable[Finding]]


class Rule(Struct, frozen=True, eq=False):
    """Everything about a rule, declared next to the function that finds."""

    code: str
    title: str
    severity: Severity
    family: "Family"
    why: str
    """What happens in a runtime, with a real example."""
    fix: str
    fixed_by: Repair | None
    """The rewrite that repairs most of its findings."""
    needs: Needs
    blocks_loading: bool
    """The tensors themselves are wrong: no release can load them."""
    refuses_rename: bool
    """A rewrite must not give a name that has such a finding, even if the old name had it."""
    reads_names: bool
    """It depends on what names in the metadata match: for a dialect whose names are not plain it
    applies as `in_own_reading` declares, if at all."""
    blocks_verify: bool
    """`verify` cannot decode such a module, so it reports the finding too."""
    rejects_all: bool
    """A release with such a finding builds no layer: the finding is gone only once it loads."""
    is_idle: bool
    """The statement at its place has no effect, so a rewrite may remove it."""
    since: str
    """The first version of ckptfix with this rule."""
    example: str
    """Part of a checkpoint that breaks the rule, and its repair, as a diff: the name of each file,
    with a JSON pointer if it is only a part, followed by the relevant part. Modules of a shard
    file are `NAME stored as QUANT_ALGO`; `on SPEC` names the release."""
    find: Find

    def __repr__(self) -> str:
        return f"<{self.code} {self.title}>"

    def __reduce__(self) -> tuple[Callable[[str], "Rule"], tuple[str]]:
        return _declared_as, (self.code,)  # another process has the same rules

    def in_own_reading(self, find: Find) -> Find:
        """Declare the function for dialects in which only the quantizer's reading matches names."""
        _in_own_reading[self.code] = find
        return find

    def find_in(self, *, plain_names: bool) -> Find | None:
        """The function that finds it; None where the rule does not apply.

        Args:
            plain_names: the names in the metadata are modules, what contains them, or shell
                patterns.
        """
        if plain_names:
            return self.find
        return _in_own_reading.get(self.code, None if self.reads_names else self.find)


class Family(Struct, frozen=True):
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
        example: str,
        fixed_by: Repair | None = None,
        needs: Needs = "headers",
        blocks_loading: bool = False,
        refuses_rename: bool = False,
        reads_names: bool = False,
        blocks_verify: bool = False,
        rejects_all: bool = False,
        is_idle: bool = False,
        in_own_reading_only: bool = False,
    ) -> Callable[[Find], Rule]:
        """Declare the decorated function as a rule of this family.

        With `in_own_reading_only` it finds nothing where names are plain.

        Raises:
            ValueError: the code is not of this family or is declared already, or another file
                gives the family another title.
        """

        def declare(find: Find) -> Rule:
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
                reads_names,
                blocks_verify,
                rejects_all,
                is_idle,
                since,
                cleandoc(example),
                _nothing if in_own_reading_only else find,
            )
            _declared[code] = made
            if in_own_reading_only:
                made.in_own_reading(find)
            return made

        return declare


def _nothing(context: "Context") -> Iterable[Finding]:  # noqa: ARG001 - the signature of rules
    return ()


_declared: Final[dict[str, Rule]] = {}
_in_own_reading: Final[dict[str, Find]] = {}
"""Code -> the function for dialects whose names are not plain."""


def declared_rules() -> dict[str, Rule]:
    """Code -> rule, for every rule declared so far, by code."""
    return dict(sorted(_declared.items()))


def _declared_as(code: str) -> Rule:
    return _declared[code]
