"""Every planned GEMM in turn: load, measure, multiply, compare."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from msgspec import Struct

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.checkpoint.numbers import JoinedNumbers, ModuleNumbers, Numbers
from ckptfix.checkpoint.source import DirectorySource
from ckptfix.verifying.backends.interface import Backend
from ckptfix.verifying.dequantize.registry import missing_decoder
from ckptfix.verifying.dequantize.unpacked import NoDecoderError, unpacked
from ckptfix.verifying.device import Device, out_of_memory
from ckptfix.verifying.gemm import run_layer
from ckptfix.verifying.layer import Layer
from ckptfix.verifying.measure import loose_scales, measure
from ckptfix.verifying.outcome import GemmResult, Part
from ckptfix.verifying.plan import Plan, PlannedGemm
from ckptfix.verifying.spans import Unquantized, units_of
from ckptfix.verifying.stored import StoredWeight, unstacked
from ckptfix.verifying.stream import PREFETCH_BYTES, Stream, Tensors

Progress = Callable[[int, int], None]
"""Called with the bytes that were verified and those of the whole run."""


class RunSettings(Struct, frozen=True):
    """Settings of a run."""

    device: Device
    backends: tuple[Backend, ...]
    tokens: int
    prefetch: int = PREFETCH_BYTES


@dataclass
class _Found:
    results: dict[int, GemmResult] = field(default_factory=dict)
    modules: dict[str, ModuleNumbers] = field(default_factory=dict)
    joined: dict[int, tuple[JoinedNumbers, ...]] = field(default_factory=dict)
    nbytes: int = 0

    def see(self, measured: Iterable[ModuleNumbers]) -> None:
        self.modules |= {numbers.name: numbers for numbers in measured}


def run_plan(
    checkpoint: Checkpoint,
    source: DirectorySource,
    plan: Plan,
    settings: RunSettings,
    progress: Progress = lambda _, __: None,
    unquantized: Unquantized | None = None,
) -> Part:
    """Read and run everything; partial results if the user interrupts.

    Raises:
        CkptfixError: a file cannot be read, or the GPU is full.
    """
    start, found, interrupted = time.perf_counter(), _Found(), False
    units = list(units_of(checkpoint, source, plan, unquantized))
    total = sum(unit.nbytes for unit in units)
    progress(0, total)
    try:
        with (
            Stream(units, settings.device.torch_device, prefetch=settings.prefetch) as stream,
            torch.inference_mode(),
        ):
            for unit, tensors in stream:
                if unit.key < len(plan.gemms):
                    _gemm(checkpoint, plan.gemms[unit.key], tensors, settings, found, unit.key)
                else:
                    name = plan.loose[unit.key - len(plan.gemms)]
                    found.modules[name] = loose_scales(name, _of(tensors, name))
                found.nbytes += unit.nbytes
                progress(found.nbytes, total)
                del tensors  # the stream counts them as gone
    except KeyboardInterrupt:
        interrupted = True
    keys = sorted(found.results)
    numbers = Numbers(
        found.modules, tuple(j for key in keys for j in found.joined.get(key, ())), plan.banks
    )
    return Part(
        tuple(found.results[key] for key in keys),
        numbers,
        found.nbytes,
        time.perf_counter() - start,
        interrupted,
    )


def _of(tensors: Tensors, module: str) -> dict[str, torch.Tensor]:
    return {role: tensor for (name, role), tensor in tensors.items() if name == module}


def _gemm(
    checkpoint: Checkpoint,
    gemm: PlannedGemm,
    tensors: Tensors,
    settings: RunSettings,
    found: _Found,
    key: int,
) -> None:
    try:
        missing = _missing_decoder(gemm)
        if gemm.problem or missing:
            _numbers_of_misfits(checkpoint, gemm, tensors, found)
            how: Literal["failed", "measured"] = "failed" if gemm.problem else "measured"
            found.results[key] = GemmResult(gemm, how, reason=gemm.problem or missing)
            found.joined[key] = (JoinedNumbers(gemm.name, gemm.members, gemm.problem),)
            return
        outcomes = [
            _layer(layer, gemm, settings, found) for layer in _layers(checkpoint, gemm, tensors)
        ]
    except NoDecoderError as error:
        reason = f"ckptfix has no decoder for {gemm.quant_algo} ({error})"
        _scales_alone(gemm, tensors, found)
        found.results[key] = GemmResult(gemm, "measured", reason=reason)
        found.joined[key] = (JoinedNumbers(gemm.name, gemm.members, gemm.problem),)
        return
    except torch.OutOfMemoryError as error:
        raise out_of_memory(settings.device, gemm.name) from error
    found.joined[key] = tuple(joined for _, joined in outcomes)
    # The worst expert represents a stacked bank.
    results = [result for result, _ in outcomes]
    failed = [result for result in results if result.how == "failed"]
    found.results[key] = max(failed or results, key=lambda result: result.error or 0.0)


def _missing_decoder(gemm: PlannedGemm) -> str:
    """Why its weights cannot be decoded; not a fault of the checkpoint."""
    rows = filter(None, map(format_named, gemm.quant_algos))
    return next(filter(None, map(missing_decoder, rows)), "")


def _stored(checkpoint: Checkpoint, gemm: PlannedGemm, tensors: Tensors) -> list[StoredWeight]:
    stored = []
    for member, quant_algo in zip(gemm.members, gemm.quant_algos, strict=True):
        fit = checkpoint.formats[member].fit(quant_algo)
        if fit is None or missing_decoder(fit.format):
            continue
        parts = _of(tensors, member)
        *outer, out, columns = fit.logical_shape
        if outer and not gemm.stack:
            parts["weight"] = parts["weight"].reshape(outer[0], -1)
            out, columns = outer[0], parts["weight"].shape[1]
        weight = StoredWeight(member, fit.format, (out, columns), parts)
        stored.append(weight if gemm.stack else unpacked(weight))
    return stored


def _layers(checkpoint: Checkpoint, gemm: PlannedGemm, tensors: Tensors) -> Iterator[Layer]:
    stored = _stored(checkpoint, gemm, tensors)
    if not gemm.stack:
        yield Layer(gemm.name, tuple(stored), gemm.kind == "experts")
        return
    for number, experts in enumerate(
        zip(*(unstacked(bank, gemm.stack) for bank in stored), strict=True)
    ):
        yield Layer(f"{gemm.name}[{number}]", tuple(map(unpacked, experts)), in_bank=True)


def _numbers_of_misfits(
    checkpoint: Checkpoint, gemm: PlannedGemm, tensors: Tensors, found: _Found
) -> None:
    """All numbers of members that can be decoded; only the scales of the others."""
    stored = _stored(checkpoint, gemm, tensors)
    decoded = {weight.name for weight in stored}
    for member, quant_algo in zip(gemm.members, gemm.quant_algos, strict=True):
        if member not in decoded:
            found.modules[member] = loose_scales(member, _of(tensors, member), quant_algo)
    found.see(measure(stored))


def _scales_alone(gemm: PlannedGemm, tensors: Tensors, found: _Found) -> None:
    for member, quant_algo in zip(gemm.members, gemm.quant_algos, strict=True):
        found.modules[member] = loose_scales(member, _of(tensors, member), quant_algo)


def _layer(
    layer: Layer, gemm: PlannedGemm, settings: RunSettings, found: _Found
) -> tuple[GemmResult, JoinedNumbers]:
    names = tuple(member.name for member in layer.members)
    found.see(measure(layer.members))
    if not gemm.runs:
        return GemmResult(gemm, "measured"), JoinedNumbers(layer.name, names)
    outcome = run_layer(layer, settings.device, settings.backends, settings.tokens)
    result = GemmResult(
        gemm,
        outcome.how,
        outcome.kernel,
        outcome.reason,
        outcome.error,
        outcome.requantized_error,
        outcome.seconds,
    )
    problem = outcome.reason if outcome.how == "failed" else ""
    return result, JoinedNumbers(layer.name, names, problem, outcome.requantized_error)
