"""What a release does with an unquantized checkpoint that it quantizes while loading.

There is no metadata: the class of each layer decides, and the model class, which may build a module
without a quantization config. No name is looked up.
"""

from typing import Final, Literal

from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import config_in, quantization_root
from ckptfix.checkpoint.formats.stored import FLOAT_DTYPES
from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.architectures import UnregisteredError, outer_architecture
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.common.online import OnlineRow
from ckptfix.runtimes.family import family_for, why_unknown
from ckptfix.runtimes.placing import placed
from ckptfix.runtimes.profile_store import load_profile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.runtime_module import RuntimeModule
from ckptfix.runtimes.targets import Target
from ckptfix.text import visible

_MULTIPLE: Final = 16
"""Both sizes of an FP8 GEMM are multiples of this."""


class OnlineModule(Struct, frozen=True):
    """One module of the runtime."""

    name: str
    members: tuple[str, ...]
    """Checkpoint names."""
    becomes: Literal["quantized", "unquantized", "stops"]
    why: str
    """Why it is not quantized, or a remark; may be empty."""


class OnlineAnswer(Struct, frozen=True):
    """All modules in one release."""

    target: Target
    stops: str = ""
    """Why the release stops before it builds a layer."""
    unknown: str = ""
    """Why there is no answer."""
    modules: tuple[OnlineModule, ...] = ()

    @property
    def works(self) -> bool:
        """True if the release quantizes without stopping."""
        stops = any(module.becomes == "stops" for module in self.modules)
        return not (self.stops or self.unknown or stops)


def quantized_online(checkpoint: Checkpoint, target: Target, method: str) -> OnlineAnswer:
    """What one release does with `--quantization METHOD`."""
    row = runtime_named(target.runtime).online_row(target.version)
    if row is None:
        return OnlineAnswer(target, unknown="which modules it quantizes while loading is not known")
    if stops := _refusal(checkpoint, row, method):
        return OnlineAnswer(target, stops=stops)
    if method not in row.methods:
        return OnlineAnswer(target, unknown=f"what it does for {method} is not known")
    profile = load_profile(target.runtime, target.profile_version)
    try:
        outer = outer_architecture(checkpoint.config, profile)
    except (StopsError, UnregisteredError) as error:
        cause = error.reason.cause if isinstance(error, StopsError) else ""
        return OnlineAnswer(target, stops=cause or str(error))
    family = family_for(target.runtime, target.profile_version, [outer])
    if family is None:
        why = why_unknown(target.runtime, target.profile_version, outer)
        unknown = f"how it lays out {visible(outer)} is not known"
        return OnlineAnswer(target, unknown=f"{unknown}: {why}" if why else unknown)
    modules = (_made(checkpoint, module, row) for module in placed(checkpoint, family))
    return OnlineAnswer(target, modules=tuple(modules))


def _refusal(checkpoint: Checkpoint, row: OnlineRow, method: str) -> str:
    """Why the release stops at the option; empty if it does not."""
    if instead := row.instead.get(method):
        return f"--quantization {method} no longer quantizes while loading; use {instead}"
    config = config_in(checkpoint.documents)
    if config is None or quantization_root(config) is None:
        return ""
    return f"{config.file} declares that it is already quantized"


def _made(checkpoint: Checkpoint, module: RuntimeModule, row: OnlineRow) -> OnlineModule:
    members = [checkpoint.modules[member] for member in module.members]
    why, becomes = _quantized(module, members, row)
    return OnlineModule(module.name, module.members, becomes, why)


def _quantized(
    module: RuntimeModule, members: list[Module], row: OnlineRow
) -> tuple[str, Literal["quantized", "unquantized", "stops"]]:
    if module.kind not in ("linear", "experts"):
        return f"a layer of kind {module.kind} is never quantized while loading", "unquantized"
    if not module.takes_quant_config:
        return "its class builds it without a quantization config", "unquantized"
    dtypes = {t.dtype for member in members for t in member.tensors.values()}
    odd = sorted(dtypes - FLOAT_DTYPES)
    if odd:
        return f"it is stored as {odd[0]}, which it cannot quantize", "stops"
    if len({member.weight.dtype for member in members if member.weight}) > 1:
        return "the members of the packed module differ in their dtype", "stops"
    sizes = [size for m in members if m.weight is not None for size in m.weight.shape[-2:]]
    uneven = [size for size in sizes if size % _MULTIPLE]
    if uneven and not row.pads and module.kind == "linear":
        why = f"{uneven[0]:,} is not a multiple of {_MULTIPLE}, so a slower kernel runs it"
        return why, "quantized"
    return "", "quantized"
