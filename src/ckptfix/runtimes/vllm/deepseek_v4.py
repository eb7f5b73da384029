"""How vLLM's own config class reads DeepSeek V4, which keeps `fp8` in config.json.

Source: vLLM 0.33.0, vllm/models/deepseek_v4/quant_config.py (`DeepseekV4FP8Config`) and
vllm/model_executor/layers/quantization/fp8.py; the experts in NVFP4 since 0.24.0.
"""

from collections.abc import Mapping
from typing import Any, Final

from ckptfix.checkpoint.formats.native_rows import BLOCK_FP8
from ckptfix.runtimes.common.effective import EffectiveMetadata, Experts
from ckptfix.runtimes.common.objects import JsonObject, StopsError, kind_of
from ckptfix.runtimes.vllm.releases import VllmReading

_METHODS: Final = ("fp8", "deepseek_v4_fp8")
_BLOCKS: Final = [128, 128]


def read_deepseek_v4(
    found: JsonObject, config: Mapping[str, Any], reading: VllmReading
) -> EffectiveMetadata | None:
    """The metadata of a DeepSeek V4; None if another class reads it, or reads it differently.

    Args:
        found: the object that decides.
        config: config.json.
        reading: how the release reads metadata.

    Raises:
        StopsError: the release stops.
    """
    is_v4 = config.get("model_type") == "deepseek_v4" and found.get("quant_method") in _METHODS
    lists = any(found.get(key) for key in ("ignored_layers", "modules_to_not_convert"))
    if not is_v4 or lists or found.get("weight_block_size") != _BLOCKS:
        return None
    return EffectiveMetadata(
        found.file, found.path, BLOCK_FP8, experts=_experts(found, config, reading)
    )


def _experts(found: JsonObject, config: Mapping[str, Any], reading: VllmReading) -> Experts:
    stored = config.get("expert_dtype", "fp4")
    if stored not in ("fp4", "fp8"):
        cause = f"expert_dtype of {found.file} is {kind_of(stored)}, not fp4 or fp8"
        raise StopsError(cause, (found.file, ("expert_dtype",)))
    algo = found.get("moe_quant_algo") or ""
    if stored == "fp8":
        return Experts(BLOCK_FP8)
    if reading.moe_quant_algo and isinstance(algo, str) and algo.upper() == "NVFP4":
        return Experts("NVFP4")
    return Experts("MXFP4")
