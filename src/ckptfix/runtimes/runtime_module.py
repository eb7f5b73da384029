"""One module of a runtime that tensors of a checkpoint end in."""

from typing import Literal

from msgspec import Struct

RuntimeModuleKind = Literal["linear", "experts", "head", "embedding", "other"]
"""`other` has a weight that is not a matrix, such as a convolution."""


class RuntimeModule(Struct, frozen=True):
    """One module of the runtime that tensors of the checkpoint end in."""

    name: str
    """The name looked up in the quantization config; empty if a class passes no prefix."""
    members: tuple[str, ...]
    """Checkpoint modules: of a packed module in packed order, else in the checkpoint's order."""
    kind: RuntimeModuleKind
    takes_quant_config: bool
    """False: the runtime leaves it unquantized, whatever the metadata declares."""
