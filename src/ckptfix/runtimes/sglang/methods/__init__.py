"""The config classes of SGLang that read other quantizers' metadata, one per file.

`gptq` and `awq` are read as the classes for Marlin read them, which SGLang prefers if they support
the checkpoint. bitsandbytes has its own loader, which is not modelled. A file has `ROWS`, what each
release does, oldest first, and `METHOD`, which makes the class of a row.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from packaging.version import Version

from ckptfix.runtimes.common.methods import Doubted, Lookup, QuantMethod
from ckptfix.runtimes.common.names import BoundNames
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.common.rows import known_row
from ckptfix.runtimes.sglang.releases import (
    CLASS_BY_GPU,
    NEVER_BY_GPU,
    OWN_CLASSES,
    READ_ONLY_FOR,
    WITHOUT_PACKED,
)

_FILES: Final[Mapping[str, str]] = {
    "compressed-tensors": "compressed_tensors",
    "auto-round": "auto_round",
    "gptq": "gptq_marlin",
    "awq": "awq_marlin",
    "fp8": "fp8",
    "quark": "quark",
    "mxfp4": "mxfp4",
}
"""quant_method -> file."""
_READ_FOR_ALL: Final = "0.5.23"
"""The release for which it was read which architectures depend on the GPU; for those before, only
of `NEVER_BY_GPU` that they do not."""


class _OnSomeGpus(Struct, frozen=True):
    """A class that is used on some GPUs only: the names that it finds are known, no layer is."""

    method: QuantMethod

    @property
    def maps_names(self) -> bool:
        return self.method.maps_names

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        why = "GPTQ and AWQ in this architecture, which depends on the GPU,"
        return Doubted(why, self.method.bind(found, names, dtypes))


class _WithoutPacked(Struct, frozen=True):
    """A class that never gets the packed table of the model class."""

    method: QuantMethod

    @property
    def maps_names(self) -> bool:
        return self.method.maps_names

    def bind(self, found: JsonObject, names: BoundNames, dtypes: Mapping[str, str]) -> Lookup:
        return self.method.bind(found, replace(names, packed={}), dtypes)


def method_named(name: str, version: str, architecture: str) -> QuantMethod | None:
    """The class that reads a quant_method in a release; None where no file describes it."""
    file = _FILES.get(name)
    if file is None or _lists(OWN_CLASSES, name, architecture):
        return None
    if name in READ_ONLY_FOR and not _lists(READ_ONLY_FOR, name, architecture):
        return None
    read = import_module(f"{__name__}.{file}")
    row = known_row(version, read.ROWS)
    if row is None:
        return None
    method: QuantMethod = read.METHOD(row)
    if name in WITHOUT_PACKED and not _lists(WITHOUT_PACKED, name, architecture):
        method = _WithoutPacked(method)
    return _OnSomeGpus(method) if _by_gpu(name, version, architecture) else method


def _by_gpu(name: str, version: str, architecture: str) -> bool:
    if name not in CLASS_BY_GPU or Version(version) >= Version(_READ_FOR_ALL):
        return _lists(CLASS_BY_GPU, name, architecture)
    return not _lists({name: NEVER_BY_GPU}, name, architecture)


def _lists(table: Mapping[str, tuple[str, ...]], name: str, architecture: str) -> bool:
    return any(fnmatchcase(architecture, pattern) for pattern in table.get(name, ()))
