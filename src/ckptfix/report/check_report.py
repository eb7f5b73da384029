"""What one call of `check` reports; every output format renders this."""

from pathlib import PurePath

from msgspec import Struct

from ckptfix.operations.checked import CheckedCheckpoint, ReleaseAnswer
from ckptfix.rules.finding import Finding, Severity
from ckptfix.runtimes.loads import Answer


class CheckReport(Struct, frozen=True):
    """All checkpoints of one call, in the order of the arguments."""

    checkpoints: tuple[CheckedCheckpoint, ...]
    fail_on: Severity
    """The lowest severity that makes the call fail."""
    base: PurePath
    """Absolute; what paths in machine-readable formats are relative to."""
    brief: bool = False
    """Show several checkpoints only as a table."""
    allow_unknown: bool = False
    """An unknown answer of a release does not make the call fail."""

    skipped: tuple[CheckedCheckpoint, ...] = ()
    """What is not a quantized checkpoint, and does not count because the user chose so."""

    def fails(self, finding: Finding) -> bool:
        """True when this finding alone makes the call fail."""
        return self.fail_on is Severity.WARNING or finding.rule.severity is Severity.ERROR

    def rejects(self, answer: ReleaseAnswer) -> bool:
        """True when this answer alone makes the call fail."""
        if not answer.counts or answer.loads is Answer.YES:
            return False
        return answer.loads is Answer.NO or not self.allow_unknown

    def passes(self, checked: CheckedCheckpoint) -> bool:
        """True when the exit code of a call with this checkpoint alone is 0."""
        return not (
            checked.error
            or any(map(self.rejects, checked.runtimes))
            or any(map(self.fails, checked.findings))
        )

    @property
    def exit_code(self) -> int:
        """2 if a checkpoint could not be checked, 1 if one does not pass, else 0."""
        if any(checked.error for checked in self.checkpoints):
            return 2
        return int(not all(map(self.passes, self.checkpoints)))
