"""What a run of `verify` gives; free of torch, so that reports can be made of it anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.rules.finding import Finding, Severity
from ckptfix.runtimes.verdict import TargetVerdict
from ckptfix.verifying.plan import PlannedGemm

How = Literal["native", "emulated", "failed", "measured"]
"""The hardware's quantized GEMM; dequantized, then BF16; neither agreed; not run, numbers only."""


@dataclass(frozen=True)
class GemmResult:
    """How one GEMM fared."""

    planned: PlannedGemm
    how: How
    kernel: str = ""
    """Empty where none was run."""
    reason: str = ""
    """Why it is emulated, failed, or cannot be decoded."""
    error: float | None = None
    """Relative, against the F32 reference."""
    requantized_error: float | None = None
    """Relative error of the weight that joining the members adds."""
    seconds: float = 0.0
    """Of the GEMM alone."""


@dataclass(frozen=True)
class Part:
    """What one rank found."""

    results: tuple[GemmResult, ...] = ()
    numbers: Numbers = NOT_MEASURED
    nbytes: int = 0
    """Read."""
    seconds: float = 0.0
    interrupted: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """Everything that a report shows."""

    checkpoint: str
    """As the user named it."""
    device: str
    torch: str
    """Its version."""
    joined_as: str
    """The release whose way of joining modules was taken."""
    tokens: int
    results: tuple[GemmResult, ...]
    findings: tuple[Finding, ...]
    planned: int
    """Number of GEMMs and modules that were to be looked at."""
    nbytes: int
    seconds: float
    ranks: int = 1
    interrupted: bool = False
    verdicts: tuple[TargetVerdict, ...] = ()
    sources: int = 0
    """Number of modules compared with an unquantized weight."""
    not_compared: Mapping[str, str] = field(default_factory=dict)
    """Modules that --source has no counterpart for -> why."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make the run fail."""
        return tuple(f for f in self.findings if f.rule.severity is Severity.ERROR)

    @property
    def exit_code(self) -> int:
        """0 if all agree, 1 if one module does not, 130 if interrupted before anything failed."""
        if self.errors or any(result.how == "failed" for result in self.results):
            return 1
        return 130 if self.interrupted else 0
