"""What one call of `check` found; every output format renders this."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from ckptfix.rules.finding import Finding, Rule, Severity
from ckptfix.runtimes.verdict import TargetVerdict


@dataclass(frozen=True)
class CheckedCheckpoint:
    """One checkpoint, or why it could not be checked."""

    name: str
    """As the user named it; a repository as org/name@revision."""
    kind: Literal["directory", "repository", "url"] = "directory"
    """What the name stands for: what can be done to it depends on that."""
    error: str = ""
    """Why it could not be checked; empty when it was."""
    name_map: str = ""
    """Where the name map comes from."""
    findings: tuple[Finding, ...] = ()
    """Those that count."""
    rules: tuple[Rule, ...] = ()
    """Those that count."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Code -> number of findings that the user does not want to hear of."""
    verdicts: tuple[TargetVerdict, ...] = ()
    """Of the releases that the user asked about; what they find wrong is among the findings."""
    outlook: tuple[TargetVerdict, ...] | None = None
    """The same, or of every known release where the user asked about none, newest first; None
    where nobody wants to know."""

    @property
    def clean(self) -> bool:
        """True when it was checked and nothing was found."""
        return not self.error and not self.findings

    @property
    def counts(self) -> dict[Severity, int]:
        """Severity -> number of findings, none left out."""
        return count_severities(self.findings)


@dataclass(frozen=True)
class CheckReport:
    """All checkpoints of one call, in the order asked."""

    checkpoints: tuple[CheckedCheckpoint, ...]
    fail_on: Severity
    """The mildest severity that makes the call fail."""
    base: PurePath
    """Absolute; what paths in machine-readable formats are relative to."""
    brief: bool = False
    """Of several checkpoints, only the table for people."""

    def fails(self, finding: Finding) -> bool:
        """True when this finding alone makes the call fail."""
        return self.fail_on is Severity.WARNING or finding.rule.severity is Severity.ERROR

    @property
    def exit_code(self) -> int:
        """2 if a checkpoint could not be checked, else 1 if a finding counts, else 0."""
        if any(checked.error for checked in self.checkpoints):
            return 2
        return int(any(self.fails(f) for checked in self.checkpoints for f in checked.findings))


def count_severities(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Severity -> number of findings, none left out."""
    found = Counter(finding.rule.severity for finding in findings)
    return {severity: found[severity] for severity in Severity}
