"""The interface of a backend."""

from typing import Protocol

from torch import Tensor

from ckptfix.verifying.device import Device
from ckptfix.verifying.inputs import Input
from ckptfix.verifying.layer import Layer


class Backend(Protocol):
    """A set of quantized GEMMs."""

    name: str
    """The value of `backend` that selects it."""
    tolerance: float
    """Relative error that its rounding explains: of the output, and of the input if it quantizes
    the input itself."""

    def missing(self) -> str:
        """Why it cannot be used at all; empty when it can."""

    def why_not(self, layer: Layer, device: Device) -> str:
        """Why it has no GEMM for the layer on the device, as a sentence; empty when it has."""

    def kernel(self, layer: Layer) -> str:
        """The name of the GEMM, for the report."""

    def run(self, layer: Layer, given: Input) -> Tensor:
        """`[tokens, out]`, without the low-rank part of SVDQuant."""
