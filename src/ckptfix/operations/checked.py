"""What `check` found in one checkpoint."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ckptfix.checkpoint.expert_banks import Banks
from ckptfix.rules.finding import Finding, Rule, Severity
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.verdict import TargetVerdict

Loads = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class ReleaseAnswer:
    """Whether one release loads the checkpoint as it is."""

    runtime: str
    version: str
    loads: Loads
    reasons: tuple[str, ...]
    """Why not, or why nobody knows; empty where it loads."""


@dataclass(frozen=True)
class Advised:
    """A rewrite that was planned and changes something for the better."""

    arguments: str
    """Of the call of `rewrite` or `plan`, without the name of the checkpoint."""
    effect: str
    """What it does, as a phrase: `repairs the names`."""
    for_releases: bool = False
    """It repairs no finding, but what some release builds."""


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
    advised: Advised | None = None
    """The rewrite to type next; None where none helps, or nobody wants to know."""
    banks: Banks | None = None
    """Banks of experts whose expert 0 stands for all of them, wherever it is named here."""

    @property
    def runtimes(self) -> tuple[ReleaseAnswer, ...]:
        """The answer for each release that was asked, newest first where none was named."""
        return tuple(self.answer(verdict) for verdict in self.verdicts or self.outlook or ())

    def answer(self, verdict: TargetVerdict) -> ReleaseAnswer:
        """Whether the release of a verdict loads the checkpoint."""
        target = verdict.target
        loads, reasons = self._loads(verdict)
        return ReleaseAnswer(target.runtime, target.version, loads, reasons)

    def _loads(self, verdict: TargetVerdict) -> tuple[Loads, tuple[str, ...]]:
        if self.blocking_codes and not verdict.refused:
            return "no", (f"the tensors themselves are wrong: {', '.join(self.blocking_codes)}",)
        loads = verdict.loads
        match loads.answer:
            case Answer.YES:
                return "yes", ()
            case Answer.UNKNOWN:
                return "unknown", (loads.unknown_because,)
            case Answer.NO if verdict.wrong:
                number, total = len(verdict.wrong), len(verdict.modules)
                modules = "module" if total == 1 else "modules"
                return "no", (
                    f"{number:,} of {total:,} {modules} built in a different format than stored",
                )
            case Answer.NO:
                return "no", tuple(map(str, loads.reasons))

    @property
    def blocking_codes(self) -> list[str]:
        """Codes of the findings that no release gets past."""
        return sorted({f.code for f in self.findings if f.rule.blocks_loading})

    @property
    def clean(self) -> bool:
        """True when it was checked and nothing was found."""
        return not self.error and not self.findings

    @property
    def counts(self) -> dict[Severity, int]:
        """Severity -> number of findings, none left out."""
        return count_severities(self.findings)


def count_severities(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Severity -> number of findings, none left out."""
    found = Counter[Severity]()
    for finding in findings:
        found[finding.rule.severity] += finding.count
    return {severity: found[severity] for severity in Severity}
