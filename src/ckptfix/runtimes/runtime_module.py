"""One module of a runtime that tensors of a checkpoint end in."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

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


def without_config(
    modules: tuple[RuntimeModule, ...], is_built_without: Callable[[RuntimeModule], bool]
) -> tuple[RuntimeModule, ...]:
    """The modules, some of them without a quantization config."""
    return tuple(
        replace(module, takes_quant_config=False) if is_built_without(module) else module
        for module in modules
    )
