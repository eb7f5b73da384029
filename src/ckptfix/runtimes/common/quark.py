"""What vLLM and SGLang read alike in metadata of Quark."""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.runtimes.common.methods import NotKnownError
from ckptfix.runtimes.common.patterns import LookupDisagreementError

_OTHER_INPUTS_OF_FP4: Final = ("fp6_e3m2", "fp6_e2m3", "fp8_e4m3")
"""Those next to fp4 for which there is a layer, but a kernel on some devices only."""


def word(value: object) -> object:
    """A value that is compared with words: a list or an object is equal to none of them."""
    return None if isinstance(value, dict | list) else value


def require_layer(weight: Mapping[str, Any], inputs: object) -> None:
    """Check that there is a layer for weights and inputs that are quantized like that.

    Source: vllm 0.28.0 and 0.33.0, quantization/quark/quark.py (`_is_fp8_w8a8`,
    `_is_static_tensor_w8a8`, `_is_dynamic_per_token_w8a8`, `_is_w_ocp_mx_a_x`), and the same names
    in sglang 0.5.23.

    Args:
        weight: arguments of the weight, one scale level.
        inputs: arguments of the inputs, or null where they stay in float.

    Raises:
        LookupDisagreementError: there is none.
        NotKnownError: that was not read.
    """
    given = inputs if isinstance(inputs, Mapping) else {}
    match weight.get("dtype"):
        case "fp8_e4m3":
            fits = given.get("is_dynamic") or given.get("qscheme") == "per_tensor"
            if given and (given.get("dtype") != "fp8_e4m3" or weight.get("is_dynamic") or not fits):
                raise LookupDisagreementError(
                    f"it has no layer for fp8_e4m3 with inputs in {given.get('dtype')}, "
                    f"{given.get('qscheme')}"
                )
        case "int8":
            scheme = "per_channel" if given.get("is_dynamic") else "per_tensor"
            is_whole = weight.get("symmetric") is True and not weight.get("is_dynamic")
            if given and not (is_whole and given.get("dtype") == "int8"
                              and given.get("qscheme") == scheme):  # fmt: skip
                raise NotKnownError(f"int8 with inputs in {given.get('dtype')}")
        case "fp4":
            sized = weight.get("group_size"), weight.get("scale_format")
            if sized != (32, "e8m0"):
                raise NotKnownError(f"fp4 in groups of {sized[0]}, {sized[1]}")
            dtype = given.get("dtype")
            if given and not (dtype == "fp4" and given.get("is_dynamic")):
                how = "" if given.get("is_dynamic") else "static "
                if dtype in _OTHER_INPUTS_OF_FP4:
                    raise NotKnownError(f"fp4 with {how}inputs in {dtype}")
                raise LookupDisagreementError(
                    f"it has no layer for fp4 with {how}inputs in {dtype}"
                )
