"""Which release reads what. A release that changed nothing needs no row.

Sources: vLLM 0.17.1 to 0.33.0, vllm/model_executor/layers/quantization/modelopt.py (`from_config`),
vllm/transformers_utils/model_arch_config_convertor.py (`_normalize_quantization_config`) and
vllm/model_executor/model_loader/weight_utils.py (`get_quant_config`); SGLang 0.5.10.post1 to
0.5.23, sglang/srt/configs/model_config.py (`_parse_modelopt_quant_config`),
sglang/srt/layers/quantization/modelopt_quant.py (`from_config`) and
sglang/srt/model_loader/weight_utils.py (`get_quant_config`). All were read in the wheels.
"""

from dataclasses import dataclass, replace
from typing import Final

from packaging.version import Version


@dataclass(frozen=True)
class VllmReading:
    """How a vLLM release, and those after it up to the next row, reads the metadata."""

    since: str
    wrapped_algos: frozenset[str] = frozenset({"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"})
    """quant_algo of ModelOpt's wrapped object that names a config class, besides NVFP4; others
    stop the release."""
    own_names_override: bool = False
    """quant_method `modelopt_fp4` and the like are corrected by quant_algo as `modelopt` is."""
    flat_exclude_modules: bool = False
    """`exclude_modules` of a flat object is read where `ignore` is absent."""
    kv_algos: frozenset[str] | None = frozenset({"FP8"})
    """Values of kv_cache_quant_algo; others stop the release. None: all are taken."""
    weight_only_by_activations: bool = False
    """NVFP4 of which every config group has no input_activations is W4A16_NVFP4."""
    one_block_size: bool = False
    """Two block sizes in quantized_layers stop the release."""


_VLLM_0_17: Final = VllmReading("0.17.1")
_VLLM_0_24: Final = replace(
    _VLLM_0_17,
    since="0.24.0",
    own_names_override=True,
    kv_algos=frozenset({"FP8", "NVFP4"}),
)
_VLLM_0_28: Final = replace(_VLLM_0_24, since="0.28.0", kv_algos=None)
_VLLM_0_33: Final = replace(
    _VLLM_0_28,
    since="0.33.0",
    wrapped_algos=_VLLM_0_17.wrapped_algos | {"MIXED_PRECISION"},
    flat_exclude_modules=True,
    weight_only_by_activations=True,
    one_block_size=True,
)
_VLLM: Final = (_VLLM_0_17, _VLLM_0_24, _VLLM_0_28, _VLLM_0_33)


@dataclass(frozen=True)
class SglangReading:
    """How an SGLang release, and those after it up to the next row, reads the metadata."""

    since: str
    flat_file: bool = False
    """hf_quant_config.json is read without its outer `quantization` too."""
    mixed_exclude_modules: bool = False
    """MIXED_PRECISION: `exclude_modules` of a flat object is read where `ignore` is absent."""
    mixed_needs_kv: bool = False
    """MIXED_PRECISION is read from hf_quant_config.json where config.json has no map, or neither
    kv_cache_scheme nor kv_cache_quant_algo."""
    nvfp4_exclude_modules: bool = False
    """NVFP4: the same as `mixed_exclude_modules`."""
    nvfp4_default_group: bool = False
    """NVFP4 without a group_size has groups of 16; before, SGLang stops."""
    one_block_size: bool = False
    """Two block sizes in quantized_layers stop the release."""
    native_mxfp8: bool = False
    """MXFP8 for the whole checkpoint is read by the class of the native FP8 formats."""


_SGLANG_0_5_10: Final = SglangReading("0.5.10")
_SGLANG_0_5_17: Final = replace(
    _SGLANG_0_5_10,
    since="0.5.17",
    mixed_exclude_modules=True,
    mixed_needs_kv=True,
    nvfp4_default_group=True,
)
_SGLANG_0_5_20: Final = replace(_SGLANG_0_5_17, since="0.5.20", flat_file=True, native_mxfp8=True)
_SGLANG_0_5_23: Final = replace(
    _SGLANG_0_5_20, since="0.5.23", nvfp4_exclude_modules=True, one_block_size=True
)
_SGLANG: Final = (_SGLANG_0_5_10, _SGLANG_0_5_17, _SGLANG_0_5_20, _SGLANG_0_5_23)


def vllm_reading(version: str) -> VllmReading:
    """The newest row at or below a release of vLLM."""
    return [row for row in _VLLM if Version(row.since) <= Version(version)][-1]


def sglang_reading(version: str) -> SglangReading:
    """The newest row at or below a release of SGLang."""
    return [row for row in _SGLANG if Version(row.since) <= Version(version)][-1]
