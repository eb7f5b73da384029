"""What stops a release at params.json, the config of Mistral's own format.

Sources: vllm 0.16.0 to 0.33.0, vllm/transformers_utils/configs/mistral.py; sglang 0.5.10 to 0.5.23,
sglang/srt/utils/mistral_utils.py, later sglang/srt/utils/hf_transformers/mistral_utils.py.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec import Struct

from ckptfix.checkpoint import mistral
from ckptfix.checkpoint.dialects.statements import (
    CONFIG_ROOT,
    OWN_FP8,
    PARAMS_FILE,
    quantization_root,
    value_at,
)
from ckptfix.jsontext.text import JsonText
from ckptfix.runtimes.common.objects import JsonObject, StopsError, json_object

_DENSE: Final = "MistralForCausalLM"
_COMPRESSED: Final = "compressed-tensors"
_STATIC: Final = ("TENSOR", None)
_DYNAMIC: Final = "NO_SCALES"
_YARN: Final = ("factor", "original_max_position_embeddings", "beta", "alpha", "apply_scale")
_SCALING: Final = ("original_max_position_embeddings", "beta")


class NotReadError(Exception):
    """How a release reads a file is not known; the message says of what."""


class OwnFormat(Struct, frozen=True):
    """How a release reads params.json."""

    takes_compressed: bool = True
    """compressed-tensors may be declared under `quantization` too."""
    checks_windows: bool = True
    """It stops at windows that are neither a number nor a list with one size."""
    large_3: bool = True
    """How it loads Mistral Large 3, alone or below a tower, is known."""


def quantization_in(params: JsonText, reads: OwnFormat) -> JsonObject | None:
    """The object that declares the quantization, as the config classes get it; None without one.

    Raises:
        StopsError: the release does not support it.
    """
    root = quantization_root(params)
    if root is None:
        return None
    found = json_object(PARAMS_FILE, root, value_at(params.value, root))
    if root == CONFIG_ROOT:
        return found
    if found.get(OWN_FP8) == "fp8_e4m3":
        activations = found.get("qscheme_act")
        if activations not in (*_STATIC, _DYNAMIC):
            raise found.stop(" is not supported", "qscheme_act")
        scheme = "dynamic" if activations == _DYNAMIC else "static"
        return JsonObject(PARAMS_FILE, root, {"quant_method": "fp8", "activation_scheme": scheme})
    method = str(found.get("quant_method", "")).lower().replace("_", "-")
    if method != _COMPRESSED or not reads.takes_compressed:
        cause = f"it does not support the quantization in {PARAMS_FILE}"
        raise StopsError(cause, found.at())
    return JsonObject(PARAMS_FILE, root, {**found.value, "quant_method": _COMPRESSED})


def require_params(params: JsonText, config: Mapping[str, Any], reads: OwnFormat) -> None:
    """Refuse a params.json that the release refuses, whatever its quantization is.

    Args:
        params: the file.
        config: the same in the keys of config.json.
        reads: how the release reads it.

    Raises:
        StopsError: it stops.
        NotReadError: how it loads the model is not known.
    """
    of = JsonObject(PARAMS_FILE, (), params.value)
    text = config.get("text_config", config)
    if reads.checks_windows and (windows := of.get("sliding_window")):
        _require_windows(of, windows)
    if text.get("architectures") == [_DENSE] and "head_dim" not in of:
        raise of.stop(" has no head_dim, which its class reads")
    _require_parts(of, text)
    if text.get("architectures") == [mistral.LARGE_3] and not reads.large_3:
        raise NotReadError("how this release loads Mistral Large 3 is not known to ckptfix")


def _require_parts(of: JsonObject, text: Mapping[str, Any]) -> None:
    is_large_3 = text.get("architectures") == [mistral.LARGE_3]
    scaling = of.get("llama_4_scaling")
    if scaling or (is_large_3 and of.get("moe")):
        _require_keys(of, "llama_4_scaling", _SCALING)
    yarn = of.get("yarn")
    odd = [key for key in yarn if key not in _YARN] if isinstance(yarn, dict) else []
    if odd:
        raise of.stop(f" has {odd[0]}, which it does not know", "yarn")
    if mistral.vision_of(of.value) is not None and mistral.audio_of(of.value) is not None:
        raise StopsError(f"{PARAMS_FILE} has a tower for images and one for audio", of.at())


def _require_windows(of: JsonObject, windows: object) -> None:
    if isinstance(windows, bool) or not isinstance(windows, int | list):
        raise of.stop(" is neither a number nor a list", "sliding_window")
    if isinstance(windows, list) and len({str(w) for w in windows if w is not None}) > 1:
        raise of.stop(" has windows of several sizes", "sliding_window")


def _require_keys(of: JsonObject, key: str, needed: Collection[str]) -> None:
    found = of.get(key)
    if not isinstance(found, dict):
        raise of.stop(" is missing, which this architecture needs", key)
    for each in needed:
        if each not in found:
            raise of.stop(f" has no {each}", key)
