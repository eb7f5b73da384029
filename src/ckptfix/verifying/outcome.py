"""Result types of `verify`; free of torch, so that reports can be made of it anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ckptfix.checkpoint.numbers import NOT_MEASURED, Numbers
from ckptfix.rules.finding import Finding, Severity
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.verifying.plan import PlannedGemm

How = Literal["native", "emulated", "failed", "measured"]
"""The hardware's quantized GEMM; dequantized, then BF16; neither agreed; not run, numbers only."""


@dataclass(frozen=True)
class GemmResult:
    """The result of one GEMM."""

    planned: PlannedGemm
    how: How
    kernel: str = ""
    """Empty if none was run."""
    reason: str = ""
    """Why it is emulated, failed, or cannot be decoded."""
    error: float | None = None
    """Relative error compared with the F32 reference."""
    requantized_error: float | None = None
    """Relative error of the weight, added by joining the members."""
    seconds: float = 0.0
    """Seconds of the GEMM alone."""


@dataclass(frozen=True)
class Part:
    """The results of one rank."""

    results: tuple[GemmResult, ...] = ()
    numbers: Numbers = NOT_MEASURED
    nbytes: int = 0
    """Bytes read."""
    seconds: float = 0.0
    interrupted: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """Everything that a report shows."""

    checkpoint: str
    """The checkpoint, as the user named it."""
    device: str
    torch: str
    """Its version."""
    joined_as: str
    """The release whose fused modules were used."""
    tokens: int
    results: tuple[GemmResult, ...]
    findings: tuple[Finding, ...]
    planned: int
    """Number of planned GEMMs and modules."""
    nbytes: int
    seconds: float
    ranks: int = 1
    interrupted: bool = False
    verdicts: tuple[TargetVerdict, ...] = ()
    sources: int = 0
    """Number of modules compared with an unquantized weight."""
    not_compared: Mapping[str, str] = field(default_factory=dict)
    """Module -> why it could not be compared with `source`."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make the run fail."""
        return tuple(f for f in self.findings if f.rule.severity is Severity.ERROR)

    @property
    def exit_code(self) -> int:
        """0 if all agree, 1 if one module does not, 2 if nothing could be decoded.

        130 if it was interrupted before anything failed.
        """
        if self.errors or any(result.how == "failed" for result in self.results):
            return 1
        if self.interrupted:
            return 130
        return 2 if self.results and self.undecoded == len(self.results) else 0

    @property
    def undecoded(self) -> int:
        """Number of GEMMs that were not run because there is no decoder for their weights."""
        return sum(result.how == "measured" and bool(result.reason) for result in self.results)
