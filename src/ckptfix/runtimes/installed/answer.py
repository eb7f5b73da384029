"""What a runtime answers about one checkpoint, and how to query it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ckptfix.checkpoint.checkpoint import Checkpoint

Parameter = tuple[str, tuple[int, ...]]
"""dtype, as torch spells it, and shape."""


class BuiltModule(msgspec.Struct, frozen=True):
    """One module of the runtime that may have a quantized weight, or that was looked up."""

    place: str
    """In the module tree."""
    kind: str
    """linear, head, embedding, experts, torch.linear, torch.embedding, attn or other."""
    asked: tuple[str, ...] | None
    """Names under which it was looked up in the quantization config; None: never."""
    method: str
    """Class of the config's answer; empty if there is none."""
    parameters: dict[str, Parameter]
    """Its own parameters, by name."""

    @property
    def name(self) -> str:
        """The name that is looked up; its place if it is never looked up."""
        return self.place if self.asked is None else self.asked[-1]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to one checkpoint; no other field is set if it `failed`."""

    failed: str = ""
    """Why the runtime could not be queried: it is missing, died, or took too long."""
    missing: bool = False
    """A package that the class needs is not installed."""
    refused: str = ""
    """The error that the runtime raised before it loaded a tensor, in one line."""
    place: str = ""
    """File and line where it was raised."""
    ours: bool = False
    """A stand-in may be the cause, not the runtime."""
    class_name: str = ""
    quant_config: str = ""
    """What the quantization config calls itself."""
    modules: tuple[BuiltModule, ...] = ()
    lands: dict[str, tuple[str, ...]] = {}
    """Tensor -> parameters that it reaches."""
    errors: dict[str, str] = {}
    """Tensor, or `*` for all of them at once -> what the loader raised."""
    meant_for: dict[str, str] = {}
    """Rejected matrix -> the parameter that accepts it in a different shape."""
    unused: tuple[str, ...] = ()
    """Tensors that the loader accepts and puts nowhere."""
    never_written: tuple[str, ...] = ()
    """Parameters that no tensor reaches."""
    casts: tuple[tuple[str, str, str, str], ...] = ()
    """Tensor, parameter, dtype of the tensor, dtype of the parameter."""
    cut: tuple[str, ...] = ()
    """Tensors of which only a part is copied."""
    partial: dict[str, tuple[int, int]] = {}
    """Parameter -> elements, or experts of a bank, that are written, and all of them."""
    needs_cache_scales: bool = False
    """The KV cache is quantized, and with scales of 1 if the class does not load them."""
    notes: tuple[str, ...] = ()
    """How the query differs from what is stored."""
    stood_in: tuple[str, ...] = ()
    """What was replaced by stand-ins; empty if the runtime had its GPU."""


@dataclass(frozen=True)
class Installed:
    """A runtime in some Python of this machine."""

    python: str
    """The interpreter."""
    ask: Callable[[Checkpoint], Answer] = field(compare=False, repr=False)
    """Raises nothing: an Answer that `failed` has the reason."""
    log: Callable[[], str] = field(default=lambda: "", compare=False, repr=False)
    """Where its output is kept; empty if there is none yet."""
