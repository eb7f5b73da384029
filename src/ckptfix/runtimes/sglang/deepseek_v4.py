"""How SGLang reads DeepSeek V4, which keeps `fp8` in config.json.

Source: SGLang 0.5.23, sglang/srt/configs/model_config.py (`nvfp4_moe_meta`),
sglang/srt/model_loader/loader.py (`_get_quantization_config`) and
sglang/srt/layers/quantization/modelopt_quant.py (`HybridFp8NvFp4Config`), in it since 0.5.14.
"""

from typing import Final

from ckptfix.checkpoint.dialects.statements import Statement
from ckptfix.checkpoint.formats.native_rows import BLOCK_FP8
from ckptfix.runtimes.common.effective import EffectiveMetadata, Experts
from ckptfix.runtimes.common.objects import JsonObject
from ckptfix.runtimes.sglang.releases import SglangReading

_BLOCKS: Final = [128, 128]


def read_deepseek_v4(
    found: JsonObject, architecture: str, reading: SglangReading
) -> EffectiveMetadata | None:
    """The metadata of a DeepSeek V4; None if another class reads it, or reads it differently.

    Raises:
        StopsError: the release stops.
    """
    is_v4 = architecture in reading.native_hybrids and found.get("quant_method") == "fp8"
    lists = any(found.get(key) for key in ("ignored_layers", "modules_to_not_convert"))
    if not is_v4 or lists or found.get("weight_block_size") != _BLOCKS:
        return None
    if not reading.moe_quant_algo or not _has_nvfp4_experts(found):
        return EffectiveMetadata(found.file, found.path, BLOCK_FP8, experts=Experts("MXFP4"))
    return EffectiveMetadata(
        found.file,
        found.path,
        BLOCK_FP8,
        excludes=_patterns(found),
        group_size=found.number("group_size"),
        experts=Experts("NVFP4", if_excluded="MXFP4"),
    )


def _has_nvfp4_experts(found: JsonObject) -> bool:
    mixed = str(found.get("quant_algo", "")).upper() == "MIXED_PRECISION"
    nvfp4 = str(found.get("moe_quant_algo", "")).upper() == "NVFP4"
    return mixed and nvfp4 and found.get("group_size") is not None


def _patterns(found: JsonObject) -> tuple[Statement, ...]:
    listed = found.get("ignore")
    path = (*found.path, "ignore")
    return tuple(
        Statement("exclude", pattern, found.file, (*path, number))
        for number, pattern in enumerate(listed if isinstance(listed, list) else ())
        if isinstance(pattern, str)
    )
