"""Facts about the values of tensors that rules use; only reading weights gives them.

Nothing here reads: `verify` measures, and the rules of family CKF8 judge.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field


class ScaleNumbers(Struct, frozen=True):
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
    """Equal for equal values; empty for tensors of many values."""


class WeightNumbers(Struct, frozen=True):
    """The codes of a weight and its dequantized values."""

    count: int
    not_a_number: int
    zeros: int
    at_limit: int
    """Number of codes at the limit of the format."""
    blocks: int
    """Number of scales that the weight has."""
    largest: float
    """Largest absolute dequantized value."""
    pairing: float | None
    """Correlation between scales and codes: of log scale and log rms of the codes of a block, times
    the square root of the number of blocks. A block with an outlier has a large scale and small
    codes, so the value is far below zero if they belong together, and about a standard normal
    variable if they do not. None if there are too few blocks."""


class LowRankNumbers(Struct, frozen=True):
    """How the low-rank part of SVDQuant fits the quantized rest."""

    orthogonality: float
    """Largest deviation of the rows of lora_a from an orthonormal set."""
    along_input: float
    """Share of the rest along lora_a, relative to a random lora_a."""
    along_output: float
    """Share of the rest along lora_b, relative to a random lora_b."""
    step: float
    """Smallest singular value of lora_b over the largest of the rest: the cut in the spectrum."""
    is_zero: bool = False
    """True for a lora_b of zeros only."""


class SourceNumbers(Struct, frozen=True):
    """A weight compared with the unquantized one."""

    error: float
    """Relative error."""
    factor: float
    """Factor of the unquantized weight that minimizes the error."""


class ModuleNumbers(Struct, frozen=True):
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


class JoinedNumbers(Struct, frozen=True):
    """Modules that a runtime fuses into one GEMM."""

    name: str
    """Runtime name."""
    members: tuple[str, ...]
    """`ModuleNumbers.name` of each."""
    problem: str = ""
    """Why its GEMM failed; empty if it was not run or agreed with the reference."""
    requantized_error: float | None = None
    """Relative error of its weight, added by joining; None if nothing is requantized."""


class Numbers(Struct, frozen=True):
    """Everything measured."""

    modules: Mapping[str, ModuleNumbers] = field(default_factory=dict)
    joined: tuple[JoinedNumbers, ...] = ()
    banks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Expert bank, in the runtime's name -> its modules."""


NOT_MEASURED: Final = Numbers()
