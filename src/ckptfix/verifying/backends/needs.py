"""Whether a GPU has the GEMM of a format."""

from ckptfix.checkpoint.formats.format import GpuNeed
from ckptfix.verifying.device import Device


def why_not(need: GpuNeed, label: str, device: Device) -> str:
    """Why the device does not have it; empty if it does."""
    required = ".".join(map(str, need.oldest))
    if device.capability is None:
        if need.on_cpu:
            return ""
        return f"{label} needs a GPU with compute capability {required}, but this is a CPU"
    if need.oldest <= device.capability <= need.newest:
        return ""
    capability = ".".join(map(str, device.capability))
    if device.capability > need.newest:
        return f"{label} needs compute capability {required}, but this GPU has {capability}"
    then = f"; {need.below}" if need.below else ""
    return f"{label} needs compute capability {required}, but this GPU has {capability}{then}"
