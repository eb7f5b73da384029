"""The config classes of vLLM that read other quantizers' metadata, one per file.

A quant_method that vLLM corrects to another name has the file of that one.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from packaging.version import Version

from ckptfix.runtimes.common.methods import QuantMethod

_FILES: Final[Mapping[str, str]] = {
    "compressed-tensors": "compressed_tensors",
    "auto-round": "inc",
    "gptq": "auto_gptq",
    "awq": "auto_awq",
    "fp8": "fp8",
    "quark": "quark",
    "mxfp4": "mxfp4",
}
"""quant_method -> file."""


_SINCE: Final = Version("0.33.0")
"""The oldest release whose classes were read completely; older ones differ in places."""
_OTHERWISE: Final[Mapping[str, tuple[str, ...]]] = {
    "fp8": ("DeepseekV4", "BailingMoeV3", "BailingMoEV3"),
}
"""quant_method -> beginnings of architectures that have a class of their own for it, or change what
the class does (vllm 0.33.0, vllm/models/deepseek_v4/quant_config.py and deepseek_v41/, and
vllm/model_executor/models/bailing_moe_v3.py)."""


def method_named(name: str, version: str, architecture: str) -> QuantMethod | None:
    """The class that reads a quant_method in a release; None where no file describes it."""
    file = _FILES.get(name)
    if file is None or Version(version) < _SINCE:
        return None
    if architecture.startswith(_OTHERWISE.get(name, ())):
        return None
    method: QuantMethod = import_module(f"{__name__}.{file}").METHOD
    return method
