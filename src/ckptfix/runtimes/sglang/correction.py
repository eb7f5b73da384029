"""The quant_method that SGLang derives from quant_algo, and where it does.

Source: SGLang 0.5.8 to 0.5.23, sglang/srt/configs/model_config.py (`_parse_quant_hf_config`,
`_parse_modelopt_quant_config`), sglang/srt/server_args.py of 0.5.9.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.checkpoint.dialects.statements import MIXED
from ckptfix.runtimes.common.foreign import NotModelledError, require_modelopt
from ckptfix.runtimes.common.layer_maps import ENTRIES, NESTED, NVFP4_ALGOS
from ckptfix.runtimes.common.objects import JsonObject, StopsError, kind_of
from ckptfix.runtimes.sglang.releases import QUANT_METHODS, SglangReading

_BY_GPU: Final = (
    "it reads NVFP4 under quant_method modelopt on a GPU with compute capability 10.x only, "
    "unless it is started with --quantization modelopt_fp4"
)
_OWN: Final = ("modelopt", "modelopt_fp8", "modelopt_fp4", "modelopt_mixed")


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


def method_of(named: JsonObject, release: SglangRelease) -> str:
    """The quant_method that SGLang ends up with."""
    method = named.string("quant_method").lower()
    named.string("quant_algo")  # every config class converts it to upper case
    if method == "w4afp8" and named.get("quant_algo") == MIXED:
        text = f"reads {_why_w4afp8(release)} as W4AFP8, not as a per-layer map"
        raise StopsError(at=named.at("quant_algo"), text=text)
    if method == "mxfp8" and named.get("quant_algo") == "MXFP8":
        return method
    require_modelopt(named, method, own=_OWN, known=QUANT_METHODS)
    return _asked(named, release) if method == "modelopt" else method


def _asked(found: JsonObject, release: SglangRelease) -> str:
    """The method that the server derives from quant_algo for some architectures.

    For NemotronH it does where the spelling hid `modelopt`, or the release corrects none.

    Sources: sglang 0.5.23, sglang/srt/arg_groups/model_overrides/nemotron_h.py
    `_nemotron_h_overrides`; in server_args.py of 0.5.9 and 0.5.10.

    Raises:
        NotModelledError: it depends on the GPU.
    """
    algo = found.get("quant_algo")
    if algo == "NVFP4" and release.architecture in release.reading.algo_decides_by_gpu:
        raise NotModelledError(_BY_GPU, found, "modelopt")
    if not (release.asks_config or release.architecture in release.reading.algo_decides):
        return "modelopt"
    if algo == MIXED and release.asks_config:
        return "modelopt_mixed"
    return "modelopt_fp4" if algo == "NVFP4" else "modelopt_fp8"


def _why_w4afp8(release: SglangRelease) -> str:
    if release.reading.mixed_needs_nvfp4:
        return "MIXED_PRECISION without an NVFP4 entry next to it"
    return f"MIXED_PRECISION for {release.architecture}"
