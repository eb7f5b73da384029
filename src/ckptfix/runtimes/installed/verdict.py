"""From the answer of an installed runtime to the verdict that every other release gets."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.runtimes.common.bound import BoundMetadata, Resolution
from ckptfix.runtimes.installed.answer import Answer, BuiltModule
from ckptfix.runtimes.installed.reading import Reading, reasons_of
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.module_verdict import UNQUANTIZED, ModuleVerdict
from ckptfix.text import visible

_JUDGED: Final = ("linear", "head", "experts", "torch.linear")
"""Kinds that always count; others only if they are stored quantized."""
_KINDS: Final = {"torch.linear": "linear", "torch.embedding": "embedding", "attn": "other"}
_FLOATS: Final = frozenset({"bfloat16", "float16", "float32", "float64"})
_POWERS: Final = frozenset({"uint8", "float8_e8m0fnu"})
"""dtypes of scales that are powers of two."""


class InstalledVerdict(Struct, frozen=True):
    """What an answer means for one checkpoint."""

    unknown_because: str = ""
    """Why there is no verdict; empty if there is one."""
    refusal: Reason | None = None
    """Why the runtime stops before it loads a tensor."""
    modules: tuple[ModuleVerdict, ...] = ()
    faults: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """How the query differed from serving this checkpoint."""


def verdict_of(
    checkpoint: Checkpoint, answer: Answer, bound: BoundMetadata | None, log: str
) -> InstalledVerdict:
    """What the answer means.

    Args:
        checkpoint: the one in question.
        answer: the answer.
        bound: the metadata as the nearest recorded release stores it, to show what decides.
        log: where the output of the runtime is kept.
    """
    notes = tuple(_notes(answer))
    where = f" (log: {visible(log)})" if log else ""
    if answer.failed:
        why = "a package is missing" if answer.missing else "it gave no answer"
        return InstalledVerdict(f"{why}: {visible(answer.failed)}{where}", notes=notes)
    if answer.refused:
        text = f"{visible(answer.refused)}, at {visible(answer.place)}{where}"
        if answer.missing or answer.ours:
            why = "a package is missing" if answer.missing else "it cannot be built here"
            return InstalledVerdict(f"{why}: {text}", notes=notes)
        return InstalledVerdict(refusal=Reason.stop(text), notes=notes)
    reading = Reading(checkpoint, answer)
    modules = tuple(_modules(reading, bound))
    judged = {row.place for row in answer.modules if _counts(reading, row)}
    left = [f for place, faults in reading.faults.items() if place not in judged for f in faults]
    return InstalledVerdict(modules=modules, faults=reasons_of(left), notes=notes)


def _notes(answer: Answer) -> Iterable[str]:
    yield from map(visible, answer.notes)
    if answer.stood_in:
        replaced = visible("; ".join(answer.stood_in))
        yield f"replaced by stand-ins: {replaced}; kernels are not checked"


def _counts(reading: Reading, row: BuiltModule) -> bool:
    members = reading.members.get(row.place, ())
    checkpoint = reading.checkpoint
    if any(checkpoint.formats[member].is_quantized for member in members):
        return True
    weights = [checkpoint.modules[member].weight for member in members]
    matrices = row.kind == "experts" or any(w is not None and len(w.shape) == 2 for w in weights)
    return bool(members) and row.kind in _JUDGED and matrices


def _modules(reading: Reading, bound: BoundMetadata | None) -> Iterable[ModuleVerdict]:
    for row in reading.answer.modules:
        if _counts(reading, row):
            yield _module(reading, row, bound)


def _module(reading: Reading, row: BuiltModule, bound: BoundMetadata | None) -> ModuleVerdict:
    members = reading.members[row.place]
    formats = [reading.checkpoint.formats[member] for member in members]
    built = _built_as(row)
    faults = reasons_of(reading.faults.get(row.place, ()))
    labels = sorted({stored.label(None if built == UNQUANTIZED else built) for stored in formats})
    stored = " and ".join(labels)
    return ModuleVerdict(
        row.name,
        _KINDS.get(row.kind, row.kind),
        members,
        stored,
        built if faults or stored == UNQUANTIZED else stored.upper(),
        _reason(row, faults),
        Effect.STOPS if any(f.effect is Effect.STOPS for f in faults) else Effect.WRONG_WEIGHTS,
        _resolution(row, bound),
    )


def _reason(row: BuiltModule, faults: tuple[Reason, ...]) -> str:
    if not faults:
        return ""
    asks = "" if row.asked is not None else "; this runtime builds it without a quantization config"
    return f"{faults[0].text}{asks}"


def _resolution(row: BuiltModule, bound: BoundMetadata | None) -> Resolution | None:
    if bound is None or row.asked is None:
        return None
    return bound.resolve_module(row.name, experts=row.kind == "experts")


def _built_as(row: BuiltModule) -> str:
    """The format according to the parameters of the layer; its method if they do not show it."""
    weights = [name for name in row.parameters if name.endswith("weight")]
    if not weights:
        return UNQUANTIZED if not row.method or "Unquantized" in row.method else row.method
    dtype, shape = row.parameters[weights[0]]
    scales = {n: p for n, p in row.parameters.items() if "weight" in n and "scale" in n}
    if dtype in _FLOATS:
        return UNQUANTIZED
    if dtype == "uint8" and any(name.endswith("weight_scale_2") for name in scales):
        return "NVFP4"
    if dtype == "float8_e4m3fn" and scales:
        return _built_in_fp8(shape, *next(iter(scales.values())))
    return row.method or dtype


def _built_in_fp8(shape: Sequence[int], dtype: str, scale: Sequence[int]) -> str:
    if dtype in _POWERS:
        return "MXFP8"
    if shape[-2] > 1 and shape[-2] in scale:
        return "FP8_PER_CHANNEL_PER_TOKEN"
    is_bank = len(shape) > 2
    return "FP8_PB_WO" if len(scale) - is_bank >= 2 else "FP8"
