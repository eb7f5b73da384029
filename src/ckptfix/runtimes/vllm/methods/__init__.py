"""The config classes of vLLM that read other quantizers' metadata, one per file.

A quant_method that vLLM corrects to another name has the file of that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Final

from packaging.version import Version

from ckptfix.runtimes.common.methods import Doubted, Lookup, QuantMethod
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
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


_READ_AS_A_WHOLE: Final = Version("0.33.0")
_SINCE: Final[Mapping[str, Version]] = dict.fromkeys(
    ("compressed_tensors", "inc", "auto_gptq", "auto_awq", "fp8"), Version("0.28.0")
)
"""File -> the oldest release whose class reads metadata alike, but for what `_unread` names; for
the others it is the one that was read as a whole."""


def _unread(method: str, found: JsonObject) -> str:
    """What a release before 0.33.0 handles in another way that nobody read; empty for nothing."""
    match method:
        case "gptq":
            return "desc_act" if found.get("desc_act") else ""
        case "auto-round":
            is_int = found.get("data_type", "int") == "int"
            return "" if is_int else f"data_type {found.get('data_type')}"
        case "compressed-tensors":
            groups = found.get("config_groups")
            values = groups.values() if isinstance(groups, Mapping) else ()
            weights = [g.get("weights") for g in values if isinstance(g, Mapping)]
            orders = [w.get("actorder") for w in weights if isinstance(w, Mapping)]
            return "actorder" if {"group", "dynamic"}.intersection(map(str, orders)) else ""
    return ""


@dataclass(frozen=True)
class _Older:
    """A class as a release before the one that was read as a whole has it."""

    name: str
    method: QuantMethod

    @property
    def maps_names(self) -> bool:
        return self.method.maps_names

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        why = _unread(self.name, found)
        return Doubted(why) if why else self.method.bind(found, names, dtypes)


def method_named(name: str, version: str, architecture: str) -> QuantMethod | None:
    """The class that reads a quant_method in a release; None where no file describes it."""
    file, asked = _FILES.get(name), Version(version)
    if file is None or asked < _SINCE.get(file, _READ_AS_A_WHOLE):
        return None
    if any(fnmatchcase(architecture, pattern) for pattern in OWN_CLASSES.get(name, ())):
        return None
    method: QuantMethod = import_module(f"{__name__}.{file}").METHOD
    return method if asked >= _READ_AS_A_WHOLE else _Older(name, method)
