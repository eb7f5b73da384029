"""What the values of tensors are, as far as rules ask: facts that only reading weights gives.

Nothing here reads: `verify` measures, the rules of family CKF8 judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class ScaleNumbers:
    """One companion tensor."""

    count: int
    not_finite: int
    zeros: int
    negatives: int
    smallest: float
    """Of the finite values."""
    largest: float
    """Of the finite values."""
    at_limit: int = 0
    """Values of 448, the largest of E4M3."""
    near_limit: int = 0
    """Values from 320 to below 448."""
    digest: str = ""
    """The same for the same values; empty for tensors of many values."""


@dataclass(frozen=True)
class WeightNumbers:
    """The codes of a weight and what they mean."""

    count: int
    not_a_number: int
    zeros: int
    at_limit: int
    """Codes that are as large as the format allows."""
    blocks: int
    """Number of scales that the weight has."""
    largest: float
    """What the dequantized values are at most."""
    pairing: float | None
    """How well scales and codes belong together: the correlation of log scale and log rms of the
    codes of a block, times the square root of the number of blocks. A block with an outlier has a
    large scale and small codes, so it is far below zero where they belong together, and about a
    standard normal variable where they do not. None where there are too few blocks."""


@dataclass(frozen=True)
class LowRankNumbers:
    """How the low-rank part of SVDQuant fits the quantized rest."""

    orthogonality: float
    """Largest deviation of the rows of lora_a from an orthonormal set."""
    along_input: float
    """Share of the rest that lies along lora_a, by what a random lora_a would have."""
    along_output: float
    """Share of the rest that lies along lora_b, by what a random lora_b would have."""
    step: float
    """Smallest singular value of lora_b by the largest of the rest: the cut in the spectrum."""
    is_zero: bool = False
    """True for a lora_b of zeros only."""


@dataclass(frozen=True)
class SourceNumbers:
    """A weight against the unquantized one."""

    error: float
    """Relative."""
    factor: float
    """By which the unquantized weight is multiplied to come nearest."""


@dataclass(frozen=True)
class ModuleNumbers:
    """One module of the checkpoint, or one expert of a stacked bank, `experts.up_proj[3]`."""

    name: str
    quant_algo: str
    """Empty for an unquantized module that has scales of the KV cache."""
    scales: Mapping[str, ScaleNumbers]
    """Role -> numbers."""
    weight: WeightNumbers | None = None
    low_rank: LowRankNumbers | None = None
    source: SourceNumbers | None = None

    @property
    def module(self) -> str:
        """The module that the tensors belong to."""
        return self.name.partition("[")[0]


@dataclass(frozen=True)
class JoinedNumbers:
    """Modules that a runtime multiplies as one."""

    name: str
    """Runtime name."""
    members: tuple[str, ...]
    """`ModuleNumbers.name` of each."""
    problem: str = ""
    """Why its GEMM failed; empty if it was not run or agreed with the reference."""
    requantized_error: float | None = None
    """Relative error of its weight that joining adds; None if nothing is requantized."""


@dataclass(frozen=True)
class Numbers:
    """Everything measured."""

    modules: Mapping[str, ModuleNumbers] = field(default_factory=dict)
    joined: tuple[JoinedNumbers, ...] = ()
    banks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Expert bank, in the runtime's name -> its modules."""


NOT_MEASURED: Final = Numbers()
