"""The device to run on, or one sentence why it is not available."""

import os
import warnings

import torch
from msgspec import Struct

from ckptfix.errors import CkptfixError
from ckptfix.text import visible


class Device(Struct, frozen=True):
    """A device and what it can do."""

    torch_device: torch.device
    name: str
    """`cpu`, or the GPU's name."""
    capability: tuple[int, int] | None = None
    """Compute capability; None on a CPU."""
    note: str = ""
    """Why this device was chosen, if the user named none."""

    @property
    def is_cuda(self) -> bool:
        """True for an NVIDIA GPU."""
        return self.torch_device.type == "cuda"

    def __str__(self) -> str:
        where = str(self.torch_device)
        if self.capability is not None:
            major, minor = self.capability
            where += f" ({self.name}, compute capability {major}.{minor})"
        return f"{where}, {self.note}" if self.note else where


def open_device(name: str | None) -> Device:
    """The device with that name; without a name, CUDA if available, otherwise the CPU.

    Under torchrun, `cuda` is the GPU of this rank (LOCAL_RANK).

    Raises:
        CkptfixError: no such device, or its driver does not work.
    """
    if name is None:
        problem = _cuda_problem()
        if problem:
            return Device(torch.device("cpu"), "cpu", note=f"because {problem}")
        return _cuda("cuda", note="the default")
    kind, _, index = name.partition(":")
    if name == "cpu":
        return Device(torch.device("cpu"), "cpu")
    if kind != "cuda" or (":" in name and not index.isdecimal()):
        raise CkptfixError(
            f"`device` {visible(name)}: no such device", advice="write cpu, cuda or cuda:N"
        )
    problem = _cuda_problem()
    if problem:
        raise CkptfixError(
            f"`device` {name}: {problem}", advice="use `device='cpu'` to run without a GPU"
        )
    return _cuda(name)


def _cuda(name: str, note: str = "") -> Device:
    index = int(name.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    count = torch.cuda.device_count()
    if index >= count:
        raise CkptfixError(
            f"`device` {name}: GPU {index} does not exist",
            advice=f"this machine has {count}, numbered from 0",
        )
    torch.cuda.set_device(index)
    properties = torch.cuda.get_device_properties(index)
    capability = (properties.major, properties.minor)
    return Device(torch.device("cuda", index), properties.name, capability, note)


def _cuda_problem() -> str:
    """Why CUDA is not available; empty if it is."""
    if torch.version.cuda is None:
        return "this torch was built without CUDA"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count()
        available = torch.cuda.is_available()
    text = " ".join(str(warning.message) for warning in caught)
    if available and count:
        return ""
    if "too old" in text:
        return f"the NVIDIA driver is too old for this torch, which needs CUDA {torch.version.cuda}"
    return "no CUDA device is available"


def out_of_memory(device: Device, what: str) -> CkptfixError:
    """The error for a GPU that is full."""
    return CkptfixError(
        f"{device.torch_device} ran out of memory for {visible(what)}",
        advice="free the GPU, use a larger one, or use `device='cpu'`",
    )


def torch_version() -> str:
    """For the report."""
    return str(torch.__version__)
