"""What a runtime answers about one checkpoint, and what is needed to ask it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ckptfix.checkpoint.checkpoint import Checkpoint

Parameter = tuple[str, tuple[int, ...]]
"""dtype, as torch spells it, and shape."""


class BuiltModule(msgspec.Struct, frozen=True):
    """One module of the runtime that may hold a quantized weight, or that asked."""

    place: str
    """In the module tree."""
    kind: str
    """linear, head, embedding, experts, torch.linear, torch.embedding, attn or other."""
    asked: tuple[str, ...] | None
    """Names under which it asked the quantization config; None: it never did."""
    method: str
    """Class of the config's answer; empty where there is none."""
    parameters: dict[str, Parameter]
    """Its own, by name."""

    @property
    def name(self) -> str:
        """The name that it asks for; its place where it never asks."""
        return self.place if self.asked is None else self.asked[-1]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one checkpoint; no field is set where it `failed`."""

    failed: str = ""
    """Why the runtime could not be asked: it is missing, died, or took too long."""
    missing: bool = False
    """A package is not installed that the class needs."""
    refused: str = ""
    """The error that the runtime raised before it loaded a tensor, in one line."""
    place: str = ""
    """File and line where it was raised."""
    ours: bool = False
    """It may be that of what was stood in for, not of the runtime."""
    class_name: str = ""
    quant_config: str = ""
    """What the quantization config calls itself."""
    modules: tuple[BuiltModule, ...] = ()
    lands: dict[str, tuple[str, ...]] = {}
    """Tensor -> parameters that it reaches."""
    errors: dict[str, str] = {}
    """Tensor, or `*` for all of them at once -> what the loader raised."""
    meant_for: dict[str, str] = {}
    """Refused matrix -> the parameter that takes it in another shape."""
    unused: tuple[str, ...] = ()
    """Tensors that the loader takes and puts nowhere."""
    never_written: tuple[str, ...] = ()
    """Parameters that no tensor reaches."""
    casts: tuple[tuple[str, str, str, str], ...] = ()
    """Tensor, parameter, dtype of the tensor, dtype of the parameter."""
    cut: tuple[str, ...] = ()
    """Tensors of which only a part is copied."""
    partial: dict[str, tuple[int, int]] = {}
    """Parameter -> elements, or experts of a bank, that are written, and all of them."""
    notes: tuple[str, ...] = ()
    """What was asked in another way than it is stored."""
    stood_in: tuple[str, ...] = ()
    """What was stood in for; empty where the runtime had its GPU."""


@dataclass(frozen=True)
class Installed:
    """A runtime in some Python of this machine."""

    python: str
    """The interpreter."""
    ask: Callable[[Checkpoint], Answer] = field(compare=False, repr=False)
    """Raises nothing: an Answer that `failed` says why."""
    log: Callable[[], str] = field(default=lambda: "", compare=False, repr=False)
    """Where its output is kept; empty before there is any."""
