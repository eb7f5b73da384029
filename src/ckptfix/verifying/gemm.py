"""Run one layer and compare it with the reference."""

import time
from math import isfinite
from typing import Literal

import torch
from msgspec import Struct
from torch import Tensor

from ckptfix.verifying.backends.choice import choose
from ckptfix.verifying.backends.emulation import KERNEL, TOLERANCE, emulate
from ckptfix.verifying.backends.interface import Backend
from ckptfix.verifying.device import Device
from ckptfix.verifying.inputs import Input, random_input
from ckptfix.verifying.layer import Layer, hold_as_runtime
from ckptfix.verifying.reference import low_rank, reference, relative_error

FP8_ERROR = 0.045
"""Relative error of rounding normal values to FP8, with a margin; real exports: 0.025 to 0.028."""


class GemmOutcome(Struct, frozen=True):
    """Result of one layer."""

    how: Literal["native", "emulated", "failed"]
    """The hardware's quantized GEMM, BF16 after dequantizing, or neither gave the right answer."""
    kernel: str
    reason: str
    """Why it is emulated or failed; empty for native."""
    error: float
    """Relative error compared with the reference."""
    tolerance: float
    """The error that rounding explains."""
    requantized_error: float | None
    """Relative error of the weight, added by the runtime when it joins the members."""
    seconds: float
    """Seconds of the GEMM alone, run once without warm-up."""


class _Product(Struct, frozen=True):
    output: Tensor
    how: Literal["native", "emulated"]
    kernel: str
    reason: str
    tolerance: float
    seconds: float


def run_layer(
    layer: Layer, device: Device, backends: tuple[Backend, ...], tokens: int
) -> GemmOutcome:
    """Reference first, then as a runtime would: join, choose a GEMM, multiply, compare.

    The weights of the layer are overwritten if a runtime requantizes them.
    """
    given = random_input(layer, tokens)
    expected = reference(layer, given)
    loaded = hold_as_runtime(layer)
    made = _multiply(loaded.layer, given, device, backends)
    error = relative_error(_with_low_rank(made.output, loaded.layer, given), expected)
    tolerance = made.tolerance + (0.0 if loaded.requantized_error is None else FP8_ERROR)
    how: Literal["native", "emulated", "failed"] = made.how
    reason = made.reason
    if not error <= tolerance:
        how = "failed"
        reason = (
            f"differs from the reference by {error:.1%}; rounding explains at most {tolerance:.1%}"
            if isfinite(error)
            else "the result is not finite"
        )
    return GemmOutcome(
        how, made.kernel, reason, error, tolerance, loaded.requantized_error, made.seconds
    )


def _multiply(
    layer: Layer, given: Input, device: Device, backends: tuple[Backend, ...]
) -> _Product:
    choice = choose(layer, device, backends)
    reason, backend = choice.reason, choice.backend
    if backend is not None:
        start = time.perf_counter()
        try:
            output = backend.run(layer, given)
            _wait(device)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, NotImplementedError) as error:
            first, *_ = str(error).strip().splitlines() or [type(error).__name__]
            reason = f"{backend.kernel(layer)} refused: {first}"
        else:
            seconds = time.perf_counter() - start
            return _Product(output, "native", backend.kernel(layer), "", backend.tolerance, seconds)
    start = time.perf_counter()
    output = emulate(layer, given)
    _wait(device)
    seconds = time.perf_counter() - start
    return _Product(output, "emulated", KERNEL, reason, TOLERANCE, seconds)


def _with_low_rank(output: Tensor, layer: Layer, given: Input) -> Tensor:
    x = given.x.bfloat16()
    extra = [low_rank(member, x) for member in layer.members]
    tensors = [part for part in extra if isinstance(part, Tensor)]
    return output.float() + torch.cat(tensors, 1).float() if tensors else output.float()


def _wait(device: Device) -> None:
    if device.is_cuda:
        torch.cuda.synchronize(device.torch_device)
