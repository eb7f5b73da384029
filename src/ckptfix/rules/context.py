"""What the function of a rule gets: the facts, and a way to report."""

from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cached_property

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import MetadataFile, Statement
from ckptfix.checkpoint.formats.stored import StoredFormat
from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.place import Place
from ckptfix.rules.finding import BY_HAND, Finding, Related, Repair, Rule, to_rewrite
from ckptfix.rules.misread import Misread, misread
from ckptfix.rules.reading import Declarations, Declared
from ckptfix.runtimes.naming import Naming
from ckptfix.runtimes.placing import looked_up
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.text import visible


class Facts(Struct, frozen=True, dict=True):
    """The input of all rules; what several of them use is computed once."""

    checkpoint: Checkpoint
    naming: Naming
    verdicts: tuple[TargetVerdict, ...] = ()
    """Verdicts of the requested releases."""
    numbers: Numbers = NOT_MEASURED
    """Measured from the weights by `verify`, otherwise empty."""

    @cached_property
    def declarations(self) -> Declarations:
        """What the metadata declares for each module."""
        return Declarations.of(self.checkpoint, self.naming.name_map)

    @cached_property
    def misread(self) -> Sequence[Misread]:
        """Names in the metadata that make releases build modules in a different format than stored.

        Only for dialects whose names are not plain.
        """
        reading = self.checkpoint.dialect.reading
        if reading is None:
            return ()
        return misread(self.checkpoint, reading, self.declarations, self.verdicts)

    @cached_property
    def declared(self) -> tuple[tuple[Declared, StoredFormat], ...]:
        """What each file declares for each module, and what is stored.

        Entries count even if a pattern overrules them, because other readers use them.
        """
        formats = self.checkpoint.formats
        return tuple(
            (declared, formats[declared.module])
            for declared in self.declarations.all
            if declared.overruled is None or declared.entry is not None
        )

    @cached_property
    def _concerned(self) -> Set[str] | None:
        """None where no release's classes are known, so that every module may be."""
        wrong = {name for v in self.verdicts for module in v.wrong for name in module.members}
        if self.verdicts and not any(verdict.problem for verdict in self.verdicts):
            return wrong
        found = looked_up(self.checkpoint)
        return None if found is None else wrong | found

    def concerns_a_runtime(self, module: str) -> bool:
        """True if what the metadata declares for a module has an effect.

        One of the requested releases builds it in a different format than stored; without requested
        releases, or if one has no verdict, some known release looks it up.
        """
        return self._concerned is None or module in self._concerned

    def findings(self, rule: Rule) -> Iterable[Finding]:
        """Everything that breaks a rule, in the order of the files."""
        find = rule.find_in(plain_names=self.checkpoint.dialect.reading is None)
        return find(Context(rule, self)) if find else ()


class Context(Struct, frozen=True):
    """The facts as one rule sees them."""

    rule: Rule
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
        """Verdicts of the requested releases."""
        return self.facts.verdicts

    @property
    def numbers(self) -> Numbers:
        """Measured from the weights by `verify`, otherwise empty."""
        return self.facts.numbers

    @property
    def declared(self) -> tuple[tuple[Declared, StoredFormat], ...]:
        """See `Facts`."""
        return self.facts.declared

    def concerns_a_runtime(self, module: str) -> bool:
        """See `Facts`."""
        return self.facts.concerns_a_runtime(module)

    @property
    def declarations(self) -> Declarations:
        """See `Facts`."""
        return self.facts.declarations

    @property
    def misread(self) -> Sequence[Misread]:
        """See `Facts`."""
        return self.facts.misread

    def excluded(self, metadata: MetadataFile) -> Mapping[str, int]:
        """See `Declarations`."""
        return self.facts.declarations.excluded(metadata)

    def entries(self, metadata: MetadataFile) -> Mapping[str, Statement]:
        """See `Declarations`."""
        return self.facts.declarations.entries(metadata)

    def export_again(self, what: str = "checkpoint") -> str:
        """Advice where something is missing: it may be in a file that no runtime reads."""
        table = self.checkpoint.table
        unlisted = ", ".join(map(visible, table.unlisted_files[:2]))
        rebuild = f"rebuild {table.index_file}, which does not list {unlisted}, or "
        return f"{rebuild if unlisted else ''}export the {what} again"

    def finding(  # noqa: PLR0913 - one for each field of a finding
        self,
        *,
        subject: str,
        message: str,
        place: Place,
        advice: str = "",
        effect: str | None = None,
        modules: tuple[str, ...] = (),
        expected: str = "",
        releases: tuple[str, ...] = (),
        related: tuple[Related, ...] = (),
        fixed_by: Repair | None = None,
        depends_on_experts: bool = False,
        count: int = 1,
        for_each_expert: bool = True,
    ) -> Finding:
        """A finding of this rule.

        Args:
            subject: the name at fault.
            message: what is wrong.
            place: the place to change.
            advice: what to do; omitted if `effect` is given.
            effect: what the rewrite does, as a phrase.
            modules: checkpoint names of the modules it is about.
            expected: the correct name.
            releases: those that it holds for.
            related: further places.
            fixed_by: the rewrite, if it differs from that of the rule.
            depends_on_experts: whether its text depends on experts that it does not name.
            count: number of places it represents.
            for_each_expert: whether one about an expert stands for one about each of its bank,
                where those are identical.
        """
        repair = self.rule.fixed_by if fixed_by is None else fixed_by
        dialect = self.checkpoint.dialect
        if repair is Repair.CONTENT and dialect.writer is None and dialect.speller is None:
            repair = None
        if effect is not None and not advice:
            advice = BY_HAND if repair is None else to_rewrite(repair.value, effect)
        banks = self.checkpoint.banks if for_each_expert else None
        return Finding(
            self.rule,
            subject,
            message,
            place,
            advice,
            repair,
            modules,
            expected,
            releases,
            related,
            depends_on_experts,
            count if banks is None else count * banks.number(subject),
            effect,
            banks,
        )
