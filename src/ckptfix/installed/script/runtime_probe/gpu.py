"""Between a runtime and the GPU it expects: an offline environment, a fake device.

Nothing here touches a model class, a quantization config or a weight loader.
"""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

CAPABILITY: Final = (10, 0)
"""Compute capability of the GPU that the runtime sees: the newest that both runtimes support."""
QUIET: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "SGLANG_LOG_LEVEL": "error",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_PLUGINS": "",
    "CUDA_HOME": "/nonexistent",
}


@cache
def has_gpu() -> bool:
    """True if torch sees a GPU; then compiled code is not replaced.

    The answer is that of the first call, because a fake GPU is visible too.
    """
    import torch

    return bool(torch.cuda.is_available())


def import_torch_whole() -> None:
    """Parts of torch that define operators are imported before the operators are replaced."""
    import torch._dynamo
    import torch._inductor
    import torch.distributed.fsdp  # noqa: F401 - see above


def declare_torchvision() -> None:
    """Declare the operators of torchvision if it is installed without them, to import it."""
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return
    try:
        import torchvision
    except Exception:
        sys.modules.pop("torchvision", None)
        file = Path(found.origin).with_name("_meta_registrations.py")
        text = file.read_text("utf-8")
        declared = re.findall(r'register_meta\("(\w+)"', text)
        declared += re.findall(r'"torchvision::(\w+)"', text)
        for operator in sorted(set(declared)):
            torch.library.define(f"torchvision::{operator}", "(Tensor a) -> Tensor")
    import torchvision
    import torchvision.io
    import torchvision.transforms.v2  # noqa: F401 - before a stand-in shadows it


class Properties:
    """Properties of the fake GPU, under the names that torch uses."""

    name = "Fake GPU"
    major, minor = CAPABILITY
    multi_processor_count = 132
    total_memory = 192 << 30
    shared_memory_per_block = 49152
    shared_memory_per_block_optin = 232448
    warp_size = 32
    gcnArchName = ""  # noqa: N815 - torch's name
    L2_cache_size = 50 << 20
    max_threads_per_multi_processor = 2048
    regs_per_multiprocessor = 65536


class Inert:
    """A stream or an event in which nothing ever happens."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


def fake_gpu() -> None:
    """torch.cuda of one GPU on which nothing runs; weight initialisation does nothing."""
    import torch

    answers: dict[str, Any] = {
        "current_device": lambda: 0,
        "_lazy_init": lambda: None,
        "is_current_stream_capturing": lambda: False,
        "device_count": lambda: 1,
        "synchronize": lambda *_, **__: None,
        "empty_cache": lambda *_, **__: None,
        "mem_get_info": lambda *_, **__: (180 << 30, 192 << 30),
        "current_stream": lambda *_, **__: None,
        "get_device_properties": lambda *_, **__: Properties,
        "get_device_capability": lambda *_, **__: CAPABILITY,
        "get_device_name": lambda *_, **__: Properties.name,
        "set_device": lambda *_, **__: None,
        "Stream": Inert,
        "Event": Inert,
    }
    for name, value in answers.items():
        setattr(torch.cuda, name, value)
    for name in (
        *("empty_cache", "synchronize", "memory_stats", "reset_peak_memory_stats"),
        *("current_device_index", "set_device_index"),
    ):
        if hasattr(torch.accelerator, name):
            setattr(torch.accelerator, name, lambda *_, **__: 0)
    setattr(torch.accelerator, "current_stream", lambda *_, **__: None)  # noqa: B010
    for kind in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"):
        setattr(torch.nn.init, kind, _as_it_is)
    for kind in ("trunc_normal_", "normal_", "uniform_", "orthogonal_"):
        setattr(torch.nn.init, kind, _as_it_is)


def _as_it_is(tensor: Any, *_: Any, **__: Any) -> Any:
    return tensor
