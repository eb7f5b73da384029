"""The config classes of vLLM that read other quantizers' metadata, a file each.

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
"""The oldest release of which these classes were read as a whole; older ones differ in places."""


def method_named(name: str, version: str) -> QuantMethod | None:
    """The class that reads a quant_method in a release; None where no file describes it."""
    file = _FILES.get(name)
    if file is None or Version(version) < _SINCE:
        return None
    method: QuantMethod = import_module(f"{__name__}.{file}").METHOD
    return method
