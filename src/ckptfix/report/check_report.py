"""What one call of `check` reports; every output format renders this."""

from dataclasses import dataclass
from pathlib import PurePath

from ckptfix.operations.checked import CheckedCheckpoint
from ckptfix.rules.finding import Finding, Severity


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
