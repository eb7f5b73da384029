"""What `check` found in one checkpoint."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ckptfix.rules.finding import Finding, Severity
from ckptfix.rules.registry import RULES
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
    rules: tuple[str, ...] = ()
    """Codes of the rules that count."""
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


def severity_of(finding: Finding) -> Severity:
    """How bad the rule says it is."""
    return RULES[finding.code].severity


def count_severities(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Severity -> number of findings, none left out."""
    found = Counter(map(severity_of, findings))
    return {severity: found[severity] for severity in Severity}
