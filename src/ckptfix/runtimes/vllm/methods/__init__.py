"""The config classes of vLLM that read other quantizers' metadata, one per file.

A file has `ROWS`, what each release does, oldest first, and `METHOD`, which makes the class of a
row.

A quant_method that vLLM corrects to another name has the file of that one.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Final

from ckptfix.runtimes.common.methods import QuantMethod
from ckptfix.runtimes.common.rows import known_row
from ckptfix.runtimes.vllm.releases import OWN_CLASSES

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


def method_named(name: str, version: str, architecture: str) -> QuantMethod | None:
    """The class that reads a quant_method in a release; None where no file describes it."""
    file = _FILES.get(name)
    if file is None or _has_own_class(architecture, name):
        return None
    read = import_module(f"{__name__}.{file}")
    row = known_row(version, read.ROWS)
    method: QuantMethod | None = read.METHOD(row) if row else None
    return method


def _has_own_class(architecture: str, method: str) -> bool:
    return any(fnmatchcase(architecture, pattern) for pattern in OWN_CLASSES.get(method, ()))
