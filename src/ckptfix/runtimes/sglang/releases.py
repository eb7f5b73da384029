"""Which release of SGLang does what. A release that changed nothing needs no row.

Sources: every release from SGLang 0.5.8 to 0.5.23, sglang/srt/layers/quantization/modelopt_quant.py
(`is_layer_excluded`, `from_config`), .../utils.py, sglang/srt/models/utils.py,
sglang/srt/configs/model_config.py (`_parse_modelopt_quant_config`) and
sglang/srt/model_loader/weight_utils.py (`get_quant_config`). All were read in the wheels.
The rows of lookups are compared with the answers of the real functions by `tools/conformance.py`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.lookup_rules import VL_SWAP, LookupRules, MappingRules
from ckptfix.runtimes.config_classes import ConfigClassesRow

_SWAP: Final = (
    *VL_SWAP,
    ("model.language_model.", "model."),
    ("model.", "model.language_model."),
)

_LOOKUP_0_5_8: Final = LookupRules(
    since="0.5.8",
    mapping=MappingRules(()),
    dispatched=frozenset({"FP8", "NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4"}),
)
_LOOKUP_0_5_9: Final = replace(
    _LOOKUP_0_5_8,
    since="0.5.9",
    mapping=MappingRules(
        ("substr", "prefix", "suffix"),
        single_match=True,
        none_rules_delete=True,
        adds_unwrapped=True,
    ),
)
_LOOKUP_0_5_15: Final = replace(
    _LOOKUP_0_5_9,
    since="0.5.15",
    candidates=VL_SWAP,
    head_candidate=True,
    dispatched=frozenset({"FP8", "NVFP4", "W4A16_NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4", "W4A16_NVFP4"}),
    quantizes_heads=True,
)
_LOOKUP_0_5_17: Final = replace(
    _LOOKUP_0_5_15,
    since="0.5.17",
    dispatched=_LOOKUP_0_5_15.dispatched | {"MXFP8"},
    dispatched_experts=_LOOKUP_0_5_15.dispatched_experts | {"MXFP8"},
)
_LOOKUP_0_5_18: Final = replace(
    _LOOKUP_0_5_17, since="0.5.18", dispatched=_LOOKUP_0_5_17.dispatched | {"FP8_PB_WO"}
)
_LOOKUP_0_5_20: Final = replace(
    _LOOKUP_0_5_18,
    since="0.5.20",
    candidates=_SWAP,
    dispatched=_LOOKUP_0_5_18.dispatched | {"FP8_BLOCK_SCALES"},
    dispatched_experts=_LOOKUP_0_5_18.dispatched_experts | {"FP8_BLOCK_SCALES"},
)
_LOOKUP_0_5_21: Final = replace(
    _LOOKUP_0_5_20,
    since="0.5.21",
    dispatched_experts=_LOOKUP_0_5_20.dispatched_experts | {"FP8_PB_WO"},
)
LOOKUP: Final = (
    _LOOKUP_0_5_8,
    _LOOKUP_0_5_9,
    _LOOKUP_0_5_15,
    _LOOKUP_0_5_17,
    _LOOKUP_0_5_18,
    _LOOKUP_0_5_20,
    _LOOKUP_0_5_21,
)


class SglangReading(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads the metadata."""

    since: str
    uniform: frozenset[str]
    """Values of quant_algo for the whole checkpoint that the release accepts; others stop it."""
    mixed_architectures: tuple[str, ...]
    """Shell patterns of the architectures whose MIXED_PRECISION is read per layer; else W4AFP8."""
    mixed_needs_nvfp4: bool = False
    """MIXED_PRECISION is read per layer only if some entry is NVFP4 or W4A16_NVFP4; else W4AFP8."""
    mixed_asks_config: tuple[str, ...] = ()
    """Architectures for which it reads quantized_layers of config.json without checking that there
    is a quantization_config (arg_groups/model_overrides/nemotron_h.py)."""
    flat_file: bool = False
    """hf_quant_config.json is read without its outer `quantization` too."""
    mixed_exclude_modules: bool = False
    """MIXED_PRECISION: `exclude_modules` of a flat object is read if `ignore` is absent."""
    mixed_needs_kv: bool = False
    """MIXED_PRECISION is read from hf_quant_config.json if config.json has no map, or neither
    kv_cache_scheme nor kv_cache_quant_algo."""
    nvfp4_exclude_modules: bool = False
    """NVFP4: the same as `mixed_exclude_modules`."""
    nvfp4_default_group: bool = False
    """NVFP4 without a group_size has groups of 16; before, SGLang stops."""
    one_block_size: bool = False
    """Two block sizes in quantized_layers stop the release."""
    native_hybrids: tuple[str, ...] = ()
    """Architectures whose `fp8` metadata may have experts in a different format."""
    moe_quant_algo: bool = False
    """The experts of DeepSeek V4 may be NVFP4; before, they are always MXFP4."""
    native_mxfp8: bool = False
    """MXFP8 for the whole checkpoint is read by the class of the native FP8 formats."""
    corrects: frozenset[str] = frozenset({"", "modelopt"})
    """Values of quant_method in config.json, empty for none, that quant_algo corrects."""
    flat_kv_quant_algo: bool = True
    """A flat object without kv_cache_scheme declares the KV cache in kv_cache_quant_algo."""
    text_config_first: bool = False
    """Of several configs of language models it is `text_config` that counts, not the last."""
    algo_decides: tuple[str, ...] = ()
    """Architectures whose quant_method `modelopt` is that of quant_algo, where it corrects none."""
    algo_decides_by_gpu: tuple[str, ...] = ()
    """The same, where only a GPU with compute capability 10.x makes it so."""
    renames_in_file: Mapping[str, tuple[str, str]] = MappingProxyType({})
    """Architecture -> (start of an exclude pattern in hf_quant_config.json, what replaces it)."""


_NEMOTRON_H: Final = (
    "NemotronHForCausalLM",
    "NemotronHPuzzleForCausalLM",
    "NemotronH_Omni_Reasoning_V3",
)
_TREATED_AS_NAMED: Final = (
    "DeepseekV3ForCausalLM",
    "Glm4MoeForCausalLM",
    "GlmMoeDsaForCausalLM",
    "KimiK25ForConditionalGeneration",
    "MistralLarge3ForCausalLM",
    "PixtralForConditionalGeneration",
    "Qwen3MoeForCausalLM",
    "Qwen3NextForCausalLM",
    "Qwen3VLMoeForConditionalGeneration",
    "Qwen3_5ForConditionalGeneration",
    "Qwen3_5MoeForConditionalGeneration",
)
"""sglang 0.5.9, sglang/srt/server_args.py: what sets `quantization` under `is_sm100_supported`."""
_READING_0_5_8: Final = SglangReading(
    "0.5.8",
    uniform=frozenset({"FP8", "NVFP4"}),
    mixed_architectures=(),
    corrects=frozenset(),
    flat_kv_quant_algo=False,
    text_config_first=True,
    renames_in_file={"NemotronHForCausalLM": ("backbone", "model")},
)
_READING_0_5_9: Final = replace(
    _READING_0_5_8,
    since="0.5.9",
    corrects=frozenset({""}),
    algo_decides=("NemotronHForCausalLM",),
    algo_decides_by_gpu=_TREATED_AS_NAMED,
)
_READING_0_5_10: Final = replace(
    _READING_0_5_9,
    since="0.5.10",
    corrects=frozenset({"", "modelopt"}),
    mixed_architectures=("NemotronH*",),
    mixed_asks_config=_NEMOTRON_H,
    algo_decides=(),
    algo_decides_by_gpu=(),
    native_hybrids=("DeepseekV4ForCausalLM",),
    text_config_first=False,
    renames_in_file={},
)
_READING_0_5_11: Final = replace(_READING_0_5_10, since="0.5.11")
_READING_0_5_12: Final = replace(_READING_0_5_11, since="0.5.12")
_READING_0_5_13: Final = replace(_READING_0_5_12, since="0.5.13")
_READING_0_5_14: Final = replace(_READING_0_5_13, since="0.5.14", moe_quant_algo=True)
_READING_0_5_15: Final = replace(
    _READING_0_5_14,
    since="0.5.15",
    mixed_architectures=("*",),
    mixed_needs_nvfp4=True,
    mixed_needs_kv=True,
    flat_kv_quant_algo=True,
)
_READING_0_5_16: Final = replace(_READING_0_5_15, since="0.5.16")
_READING_0_5_17: Final = replace(
    _READING_0_5_16,
    since="0.5.17",
    uniform=frozenset({"FP8", "NVFP4", "NVFP4_AWQ"}),
    mixed_exclude_modules=True,
    nvfp4_default_group=True,
)
_READING_0_5_18: Final = replace(
    _READING_0_5_17,
    since="0.5.18",
    uniform=_READING_0_5_17.uniform | {"MXFP8"},
    native_mxfp8=True,
)
_READING_0_5_19: Final = replace(
    _READING_0_5_18,
    since="0.5.19",
    uniform=_READING_0_5_18.uniform | {"W4A16_NVFP4"},
)
_READING_0_5_20: Final = replace(_READING_0_5_19, since="0.5.20", flat_file=True)
_READING_0_5_21: Final = replace(_READING_0_5_20, since="0.5.21", one_block_size=True)
_READING_0_5_23: Final = replace(
    _READING_0_5_21,
    since="0.5.23",
    nvfp4_exclude_modules=True,
)
READING: Final = (
    _READING_0_5_8,
    _READING_0_5_9,
    _READING_0_5_10,
    _READING_0_5_11,
    _READING_0_5_12,
    _READING_0_5_13,
    _READING_0_5_14,
    _READING_0_5_15,
    _READING_0_5_16,
    _READING_0_5_17,
    _READING_0_5_18,
    _READING_0_5_19,
    _READING_0_5_20,
    _READING_0_5_21,
    _READING_0_5_23,
)

QUANT_METHODS: Final = frozenset(
    {
        "fp8", "mxfp8", "minimax_m3_nvfp4", "blockwise_int8", "nvfp4_online", "w8a8_int8",
        "w8a8_fp8", "awq", "awq_marlin", "bitsandbytes", "gguf", "gptq", "gptq_marlin",
        "moe_wna16", "compressed-tensors", "w4afp8", "petit_nvfp4", "quark", "quark_mxfp4",
        "auto-round", "auto-round-int8", "modelslim", "quark_int4fp8_moe", "humming",
        "mxfp_w4a8", "mxfp4", "fbgemm_fp8", "qoq",
    }
)  # fmt: skip
"""Values of quant_method besides ModelOpt's that some known release accepts (sglang 0.5.23
sglang/srt/layers/quantization/__init__.py, and what older releases have besides)."""

OWN_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {"fp8": ("DeepseekV4*",)}
"""quant_method -> shell patterns of the architectures whose experts may have a different format
(sglang 0.5.23 sglang/srt/configs/model_config.py, `nvfp4_moe_meta`)."""
READ_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {"mxfp4": ("GptOssForCausalLM",)}
"""quant_method -> shell patterns of the only architectures whose loader of it was read."""
_QUANT_METHOD_AS_NAMED: Final = (
    "Gemma4*", "Glm4Moe*", "InternS2*", "MiMoV2*", "MiniMaxM3*", "NemotronH*", "Qwen3Moe*",
    "Qwen3Next*", "Qwen3VLMoe*", "Qwen3_5*", "Qwen4*",
)  # fmt: skip
CLASS_BY_GPU: Final[Mapping[str, tuple[str, ...]]] = {
    "gptq": _QUANT_METHOD_AS_NAMED,
    "awq": _QUANT_METHOD_AS_NAMED,
}
"""quant_method -> shell patterns of the architectures for which SGLang treats the quant_method, on
some GPUs, as if the user had named it; no class for Marlin is used then (sglang 0.5.23
sglang/srt/arg_groups/model_overrides/)."""
NEVER_BY_GPU: Final = (
    "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM",
    "Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration",
)  # fmt: skip
"""Architectures of which no release before 0.5.23 does so (sglang 0.5.10.post1, 0.5.14 and 0.5.17
sglang/srt/server_args.py); of the others that was not read."""

WITHOUT_PACKED: Final[Mapping[str, tuple[str, ...]]] = {
    "auto-round": ("Deepseek*", "Qwen3Next*", "Qwen3_5*", "Kimi*"),
}
"""quant_method whose config class does not take the packed table that the loader hands over ->
architectures that set it themselves (sglang 0.5.10.post1 to 0.5.23, sglang/srt/layers/quantization/
auto_round.py `from_config`, and `packed_modules_mapping` in sglang/srt/models/)."""

CONFIG_CLASSES: Final = (
    # It pins transformers 5.19.0. Its own classes: `_CONFIG_REGISTRY` in
    # sglang/srt/utils/hf_transformers/common.py. Where the library has the type too, its class
    # reads config.json first (`HfModelConfigParser` in config.py): that is not recorded.
    ConfigClassesRow("0.5.23", "5.19.0", own="sglang-0.5.23", written="sglang-0.5.23-written"),
)
