"""A quant_method of config.json that is not ModelOpt's: it decides, whatever lies next to it."""

from typing import Final

from ckptfix.runtimes.reading.objects import Held, StopsError
from ckptfix.text import visible

_KNOWN: Final = {
    "vllm": frozenset(
        {
            "awq", "auto_awq", "fp8", "fbgemm_fp8", "fp_quant", "auto_gptq", "gptq", "gptq_marlin",
            "awq_marlin", "humming", "compressed-tensors", "experts_int8", "quark", "moe_wna16",
            "torchao", "inc", "mxfp4", "gpt_oss_mxfp4", "deepseek_v4_fp8", "online",
            "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only",
            "nvfp4_per_token", "mxfp8", "bitsandbytes", "gguf", "petit_nvfp4", "auto-round",
            "cpu_awq", "rtn", "ptpc_fp8", "tpu_int8", "auto_round",
        }
    ),
    "sglang": frozenset(
        {
            "fp8", "mxfp8", "minimax_m3_nvfp4", "blockwise_int8", "nvfp4_online", "w8a8_int8",
            "w8a8_fp8", "awq", "awq_marlin", "bitsandbytes", "gguf", "gptq", "gptq_marlin",
            "moe_wna16", "compressed-tensors", "w4afp8", "petit_nvfp4", "quark", "quark_mxfp4",
            "auto-round", "auto-round-int8", "modelslim", "quark_int4fp8_moe", "humming",
            "mxfp_w4a8", "mxfp4", "fbgemm_fp8", "qoq",
        }
    ),
}  # fmt: skip
"""Values of quant_method that some known release takes (vllm 0.33.0
vllm/model_executor/layers/quantization/__init__.py, sglang 0.5.23
sglang/srt/layers/quantization/__init__.py, and what older releases have besides)."""
_NEEDS: Final = {"fp8": ("activation_scheme",), "awq": ("w_bit", "bits"), "gptq": ("bits",)}
"""quant_method -> fields of which its config class needs one (`get_from_keys`)."""


class NotModelOptError(Exception):
    """Another quantizer's config class reads the metadata; the text says which."""


def require_modelopt(runtime: str, found: Held, method: str, own: tuple[str, ...]) -> None:
    """Refuse what is read by another class than ModelOpt's.

    Raises:
        StopsError: the release knows no such method, or its class does not find what it needs.
        NotModelOptError: another quantizer's class reads it.
    """
    if method in own:
        return
    place = found.place("quant_method")
    if method not in _KNOWN[runtime]:
        raise StopsError(f'stops: {place}: "{visible(method)}" is not a method that it knows')
    needs = _NEEDS.get(method, ())
    if needs and not any(key in found for key in needs):
        named = " or ".join(needs)
        raise StopsError(
            f'stops: {place} is "{method}", and {found.place()} has no {named}, which that needs'
        )
    raise NotModelOptError(f'{place} is "{method}"')
