"""What remains wrong for releases after a rewrite."""

from collections.abc import Callable

from msgspec import Struct

from ckptfix.rewriting.proved import ProvedPlan
from ckptfix.rules.finding import Finding
from ckptfix.runtimes.loads import Answer


class Remaining(Struct, frozen=True):
    """What remains wrong for the releases after a rewrite."""

    releases: frozenset[str]
    """The releases that it was proved for."""
    failing: frozenset[str]
    """Those that do not load the checkpoint then."""
    refusing: frozenset[str]
    """Those of them that stop at the metadata."""
    wrong: frozenset[tuple[str, tuple[str, ...] | str]]
    """(release, modules built in a different format, or the tensor of a fault, or empty)."""
    new_name: Callable[[str], str]
    """Name of a module or tensor before the rewrite -> its name afterwards."""

    @classmethod
    def of(cls, planned: ProvedPlan) -> "Remaining":
        """What remains wrong after a plan."""
        verdicts = planned.portable.after if planned.portable else ()
        wrong: set[tuple[str, tuple[str, ...] | str]] = set()
        for verdict in verdicts:
            release = str(verdict.target)
            wrong |= {(release, module.members) for module in verdict.wrong}
            wrong |= {(release, fault.tensor) for fault in verdict.faults}
        return cls(
            frozenset(str(v.target) for v in verdicts),
            frozenset(str(v.target) for v in verdicts if v.loads.answer is not Answer.YES),
            frozenset(str(v.target) for v in verdicts if v.refused),
            frozenset(wrong),
            planned.tensors.new_subject if planned.tensors else str,
        )

    def lacks(self, finding: Finding, release: str) -> bool:
        """True when one of its releases does not have the finding any more."""
        if release not in self.releases:
            return False
        if finding.rule.rejects_all:
            return release not in self.failing
        in_config = finding.subject == finding.place.file
        subject: tuple[str, ...] | str = tuple(map(self.new_name, finding.modules))
        subject = subject or ("" if in_config else self.new_name(finding.subject))
        return release not in self.refusing and (release, subject) not in self.wrong
