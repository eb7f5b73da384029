"""The quant_method that SGLang derives from quant_algo, and where it does.

Source: SGLang 0.5.8 to 0.5.23, sglang/srt/configs/model_config.py (`_parse_quant_hf_config`,
`_parse_modelopt_quant_config`).
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.dialects.statements import MIXED
from ckptfix.runtimes.common.layer_maps import ENTRIES, NESTED, NVFP4_ALGOS
from ckptfix.runtimes.common.objects import JsonObject, kind_of
from ckptfix.runtimes.sglang.releases import SglangReading


class SglangRelease(Struct, frozen=True):
    """What decides how a release reads the metadata of a checkpoint."""

    reading: SglangReading
    architecture: str

    @property
    def asks_config(self) -> bool:
        """Whether its class reads quant_algo in `quantization_config` of config.json itself."""
        return self.architecture in self.reading.mixed_asks_config


def is_corrected(found: JsonObject, release: SglangRelease) -> bool:
    """Whether quant_algo decides instead of quant_method, or because there is none."""
    if "quant_method" not in found:
        return "" in release.reading.corrects
    method = found.get("quant_method")
    return isinstance(method, str) and bool(method) and method in release.reading.corrects


def unwrapped(found: JsonObject) -> JsonObject:
    """The object inside ModelOpt's outer key, or the object itself without that key."""
    wrapped = found.get(NESTED)
    if isinstance(wrapped, dict):
        return JsonObject(found.file, (*found.path, NESTED), wrapped)
    return replace(found, value={}) if NESTED in found else found


def corrected(fields: JsonObject, release: SglangRelease) -> Mapping[str, Any] | None:
    """What SGLang adds to the object: the quant_method that follows from quant_algo.

    Raises:
        StopsError: quant_algo or the map is of another type.
    """
    algo = fields.get("quant_algo")
    if algo == MIXED:
        return {"quant_method": _mixed_method(fields, release), "quant_algo": algo}
    if not algo:
        return None
    if not isinstance(algo, str):
        raise fields.stop(f" is {kind_of(algo)}, not a string", "quant_algo")
    if "FP4" in algo:
        return {"quant_method": "modelopt_fp4", "quant_algo": algo}
    if algo == "MXFP8" and release.reading.native_mxfp8:
        return {"quant_method": "mxfp8", "quant_algo": algo}
    older = not release.reading.native_mxfp8 and "FP8" in algo
    return {"quant_method": "modelopt_fp8", "quant_algo": algo} if algo == "FP8" or older else None


def _mixed_method(fields: JsonObject, release: SglangRelease) -> str:
    layers = fields.get(ENTRIES) or {}
    if not release.reading.mixed_needs_nvfp4:
        patterns = release.reading.mixed_architectures
        known = any(fnmatchcase(release.architecture, pattern) for pattern in patterns)
        return "modelopt_mixed" if known else "w4afp8"
    if not isinstance(layers, dict):
        raise fields.stop(f" is {kind_of(layers)}, not an object", ENTRIES)
    algos = (str(e.get("quant_algo", "")).upper() for e in layers.values() if isinstance(e, dict))
    return "modelopt_mixed" if any(algo in NVFP4_ALGOS for algo in algos) else "w4afp8"
