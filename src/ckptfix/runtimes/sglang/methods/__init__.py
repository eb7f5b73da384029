"""The config classes of SGLang that read other quantizers' metadata, a file each.

`gptq` and `awq` are those of the classes for Marlin, which SGLang turns to where they can do it.
bitsandbytes has a loader of its own, which nobody read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from packaging.version import Version

from ckptfix.runtimes.common.methods import (
    Doubted,
    Lookup,
    QuantMethod,
)
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import Held

_FILES: Final[Mapping[str, str]] = {
    "compressed-tensors": "compressed_tensors",
    "auto-round": "auto_round",
    "gptq": "gptq_marlin",
    "awq": "awq_marlin",
    "fp8": "fp8",
    "quark": "quark",
}
"""quant_method -> file."""
_FOR_MARLIN: Final = ("gptq", "awq")
_SINCE: Final = Version("0.5.23")
"""The oldest release of which these classes were read as a whole; older ones differ in places."""
_NAMED_AS_ASKED: Final = (
    "Gemma4", "Glm4Moe", "InternS2", "MiMoV2", "MiniMaxM3", "NemotronH", "Qwen3Moe", "Qwen3Next",
    "Qwen3VLMoe", "Qwen3_5", "Qwen4",
)  # fmt: skip
"""Beginnings of architectures for which SGLang takes the quant_method as if the user had named it,
on some GPUs (sglang/srt/arg_groups/model_overrides/): then no class for Marlin takes over."""
_OTHERWISE: Final[Mapping[str, tuple[str, ...]]] = {"fp8": ("DeepseekV4",)}
"""quant_method -> beginnings of architectures whose experts may be in another format."""


@dataclass(frozen=True)
class _OnSomeGpus:
    """A class that takes over on some GPUs only: which names it finds is known, no layer is."""

    method: QuantMethod

    @property
    def maps_names(self) -> bool:
        return self.method.maps_names

    def bind(self, found: Held, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        why = "GPTQ and AWQ in this architecture, which depends on the GPU,"
        return Doubted(why, self.method.bind(found, names, dtypes))


def method_named(name: str, version: str, architecture: str) -> QuantMethod | None:
    """The class that reads a quant_method in a release; None where no file describes it."""
    file = _FILES.get(name)
    if file is None or Version(version) < _SINCE:
        return None
    if architecture.startswith(_OTHERWISE.get(name, ())):
        return None
    method: QuantMethod = import_module(f"{__name__}.{file}").METHOD
    by_gpu = name in _FOR_MARLIN and architecture.startswith(_NAMED_AS_ASKED)
    return _OnSomeGpus(method) if by_gpu else method
