"""Which backend runs a layer."""

from typing import Final

from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.verifying.backends.flashinfer_gemm import FlashInferBackend
from ckptfix.verifying.backends.interface import Backend
from ckptfix.verifying.backends.torch_gemm import TorchBackend
from ckptfix.verifying.backends.vllm_gemm import VllmBackend
from ckptfix.verifying.device import Device
from ckptfix.verifying.layer import Layer

BACKENDS: Final[tuple[Backend, ...]] = (TorchBackend(), VllmBackend(), FlashInferBackend())
"""In the order that `auto` tries them: torch has GEMMs for most formats."""


def requested_backends(name: str) -> tuple[Backend, ...]:
    """The backends to use, in the order in which they are tried.

    Raises:
        CkptfixError: the one that was named cannot be used.
    """
    if name == "auto":
        return tuple(backend for backend in BACKENDS if not backend.missing())
    chosen = next(backend for backend in BACKENDS if backend.name == name)
    if problem := chosen.missing():
        raise CkptfixError(f"`backend` {name}: {problem}", advice="omit `backend`")
    return (chosen,)


class Choice(Struct, frozen=True):
    """The backend for a layer, or why there is none."""

    backend: Backend | None
    reason: str = ""
    """Why the layer must be emulated; the first backend's answer."""


def choose(layer: Layer, device: Device, backends: tuple[Backend, ...]) -> Choice:
    """The first backend that has a GEMM for the layer on the device."""
    reasons = []
    for backend in backends:
        reason = backend.why_not(layer, device)
        if not reason:
            return Choice(backend)
        reasons.append(reason)
    return Choice(None, reasons[0] if reasons else "no backend can be used")
