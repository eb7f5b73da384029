"""One module of a runtime that tensors of a checkpoint end in."""

from dataclasses import dataclass
from typing import Literal

RuntimeModuleKind = Literal["linear", "experts", "head", "embedding", "other"]
"""`other` holds a weight that is no matrix: a convolution, for example."""


@dataclass(frozen=True)
class RuntimeModule:
    """One module of the runtime that tensors of the checkpoint end in."""

    name: str
    """What the runtime asks its quantization config for; empty where a class passes no prefix."""
    members: tuple[str, ...]
    """Checkpoint modules: of a packed module in packed order, else in the checkpoint's order."""
    kind: RuntimeModuleKind
    takes_quant_config: bool
    """False: the runtime leaves it unquantized, whatever the metadata says."""
