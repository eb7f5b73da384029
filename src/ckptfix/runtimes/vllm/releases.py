"""Which release of vLLM does what. A release that changed nothing needs no row.

Sources: every release from vLLM 0.15.0 to 0.33.0,
vllm/model_executor/layers/quantization/modelopt.py (`is_layer_excluded`, `_resolve_quant_algo`,
`apply_vllm_mapper`, `from_config`), .../utils/quant_utils.py (`is_layer_skipped`),
vllm/model_executor/models/utils.py
(`WeightsMapper`), vllm/transformers_utils/model_arch_config_convertor.py
(`_normalize_quantization_config`) and vllm/model_executor/model_loader/weight_utils.py
(`get_quant_config`). All were read in the wheels.
The rows of lookups are compared with the answers of the real functions by `tools/conformance.py`.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ckptfix.runtimes.common.lookup_rules import VL_SWAP, LookupRules, MappingRules
from ckptfix.runtimes.common.mistral import OwnFormat
from ckptfix.runtimes.common.online import OnlineRow
from ckptfix.runtimes.config_classes import ConfigClassesRow

_MAPPING_0_15: Final = MappingRules(
    ("substr", "prefix", "suffix"), none_rules_delete=True, splits_wildcards=True
)
_MAPPING_0_18: Final = replace(_MAPPING_0_15, kinds=("regex", "substr", "prefix", "suffix"))

_LOOKUP_0_15: Final = LookupRules(
    since="0.15.0",
    mapping=_MAPPING_0_15,
    inner_classes_count=True,
    dispatched=frozenset({"FP8", "NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4"}),
    refuses_experts=frozenset({"MXFP8"}),
    bare_parts=("vision_tower", "vision_model"),
)
_LOOKUP_0_18: Final = replace(
    _LOOKUP_0_15, since="0.18.0", mapping=_MAPPING_0_18, refuses_experts=frozenset()
)
_LOOKUP_0_22: Final = replace(
    _LOOKUP_0_18,
    since="0.22.0",
    candidates=VL_SWAP,
    head_candidate=True,
    dispatched=frozenset({"FP8", "NVFP4", "W4A16_NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4", "W4A16_NVFP4"}),
)
_LOOKUP_0_23: Final = replace(
    _LOOKUP_0_22,
    since="0.23.0",
    experts_take_siblings=True,
    quantizes_heads=True,
    bare_parts=("vision_tower", "vision_model", "vit_large_projector"),
)
_LOOKUP_0_25: Final = replace(
    _LOOKUP_0_23,
    since="0.25.0",
    builtin_packed=True,
    dispatched=_LOOKUP_0_23.dispatched | {"MXFP8"},
    dispatched_experts=_LOOKUP_0_23.dispatched | {"MXFP8"},
)
_LOOKUP_0_29: Final = replace(
    _LOOKUP_0_25,
    since="0.29.0",
    mapping=replace(_MAPPING_0_18, none_rules_delete=False),
    dispatched=_LOOKUP_0_25.dispatched | {"FP8_PB_WO"},
)
_LOOKUP_0_30: Final = replace(
    _LOOKUP_0_29,
    since="0.30.0",
    dispatched=_LOOKUP_0_29.dispatched | {"FP8_PER_CHANNEL_PER_TOKEN"},
    dispatched_experts=_LOOKUP_0_29.dispatched_experts | {"FP8_PB_WO", "FP8_BLOCK_SCALES"},
)
LOOKUP: Final = (
    _LOOKUP_0_15,
    _LOOKUP_0_18,
    _LOOKUP_0_22,
    _LOOKUP_0_23,
    _LOOKUP_0_25,
    _LOOKUP_0_29,
    _LOOKUP_0_30,
)


class VllmExcluding(Struct, frozen=True):
    """How a release, and those after it up to the next row, applies exclude patterns."""

    since: str
    honours_listed_packed_name: bool
    """A packed name in the exclude list excludes the packed module; before, only members did."""


EXCLUDING: Final = (
    VllmExcluding("0.15.0", honours_listed_packed_name=False),
    VllmExcluding("0.24.0", honours_listed_packed_name=True),
)


class VllmReading(Struct, frozen=True):
    """How a release, and those after it up to the next row, reads the metadata."""

    since: str
    uniform: frozenset[str]
    """Values of quant_algo for the whole checkpoint that the release accepts; others stop it."""
    own: frozenset[str] = frozenset(
        {"modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"}
    )
    """Values of quant_method that ModelOpt's config classes read; others are not theirs."""
    wrapped_algos: frozenset[str] = frozenset({"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO"})
    """quant_algo of ModelOpt's wrapped object that names a config class, besides NVFP4; others
    stop the release."""
    own_names_override: bool = False
    """quant_method `modelopt_fp4` and the like are corrected by quant_algo as `modelopt` is."""
    flat_exclude_modules: bool = False
    """`exclude_modules` of a flat object is read where `ignore` is absent."""
    flat_kv_key: Literal["kv_cache_scheme", "kv_cache_quant_algo"] = "kv_cache_scheme"
    """Where a flat object declares a quantized KV cache: ModelOpt writes the first."""
    kv_algos: frozenset[str] | None = frozenset({"FP8"})
    """Values of kv_cache_quant_algo; others stop the release. None: all are accepted."""
    weight_only_by_activations: bool = False
    """NVFP4 without input_activations in any config group is W4A16_NVFP4."""
    gone: frozenset[str] = frozenset()
    """Values of quant_method that older releases knew."""
    moe_quant_algo: bool = False
    """The experts of DeepSeek V4 may be NVFP4; before, they are always MXFP4."""
    one_block_size: bool = False
    """Two block sizes in quantized_layers stop the release."""
    mxfp8: Literal["", "online", "checkpoint"] = ""
    """What quant_method `mxfp8` is: unknown, a way to quantize while loading, which takes no
    quantized checkpoint, or read by the class of ModelOpt's MXFP8."""
    own_format: OwnFormat | None = None
    """How it reads Mistral's own format; None where that is not known."""


_READING_0_15: Final = VllmReading(
    "0.15.0",
    uniform=frozenset({"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "NVFP4"}),
    own=frozenset({"modelopt", "modelopt_fp4"}),
    flat_kv_key="kv_cache_quant_algo",
)
_READING_0_16: Final = replace(
    _READING_0_15,
    since="0.16.0",
    uniform=_READING_0_15.uniform | {"MXFP8"},
    own=_READING_0_15.own | {"modelopt_mxfp8"},
)
_READING_0_17: Final = VllmReading(
    "0.17.0", uniform=_READING_0_16.uniform, own_format=OwnFormat(large_3=False)
)
_READING_0_20: Final = replace(_READING_0_17, since="0.20.0", mxfp8="online")
_READING_0_21: Final = replace(
    _READING_0_20,
    since="0.21.0",
    uniform=_READING_0_17.uniform | {"W4A16_NVFP4"},
    kv_algos=frozenset({"FP8", "NVFP4"}),
)
_READING_0_22: Final = replace(
    _READING_0_21, since="0.22.0", own_names_override=True, moe_quant_algo=True
)
_READING_0_24: Final = replace(
    _READING_0_22,
    since="0.24.0",
    # It stops at MXFP8 of ModelOpt because its own method mxfp8, which takes that too, is not
    # among those that may (vllm/config/model.py `_verify_quantization`).
    uniform=_READING_0_22.uniform - {"MXFP8"},
    gone=frozenset({"gguf"}),
    mxfp8="checkpoint",
)
_READING_0_25: Final = replace(
    _READING_0_24, since="0.25.0", uniform=_READING_0_24.uniform | {"MXFP8"}
)
_READING_0_28: Final = replace(
    _READING_0_25, since="0.28.0", kv_algos=None, gone=frozenset({"bitsandbytes", "gguf"})
)
_READING_0_29: Final = replace(_READING_0_28, since="0.29.0", weight_only_by_activations=True)
_READING_0_30: Final = replace(_READING_0_29, since="0.30.0", one_block_size=True)
_READING_0_33: Final = replace(
    _READING_0_30,
    since="0.33.0",
    wrapped_algos=_READING_0_17.wrapped_algos | {"MIXED_PRECISION"},
    flat_exclude_modules=True,
    own_format=OwnFormat(),
)
READING: Final = (
    _READING_0_15,
    _READING_0_16,
    _READING_0_17,
    _READING_0_20,
    _READING_0_21,
    _READING_0_22,
    _READING_0_24,
    _READING_0_25,
    _READING_0_28,
    _READING_0_29,
    _READING_0_30,
    _READING_0_33,
)

_ONLINE_0_15: Final = OnlineRow("0.15.0", methods=frozenset())
_ONLINE_0_17: Final = OnlineRow("0.17.0", methods=frozenset({"fp8"}))
_ONLINE_0_20: Final = replace(
    _ONLINE_0_17, since="0.20.0", methods=frozenset({"fp8", "fp8_per_tensor", "fp8_per_block"})
)
_ONLINE_0_21: Final = replace(_ONLINE_0_20, since="0.21.0", pads=True)
_ONLINE_0_31: Final = replace(
    _ONLINE_0_21,
    since="0.31.0",
    methods=frozenset({"fp8_per_tensor", "fp8_per_block"}),
    instead={"fp8": "fp8_per_tensor"},
)
ONLINE: Final = (_ONLINE_0_15, _ONLINE_0_17, _ONLINE_0_20, _ONLINE_0_21, _ONLINE_0_31)
"""Sources: vllm/model_executor/layers/quantization/fp8.py and online/base.py, and
vllm/model_executor/kernels/linear/scaled_mm/cutlass.py, of each release."""

QUANT_METHODS: Final = frozenset(
    {
        "awq", "auto_awq", "fp8", "fbgemm_fp8", "fp_quant", "auto_gptq", "gptq", "gptq_marlin",
        "awq_marlin", "humming", "compressed-tensors", "experts_int8", "quark", "moe_wna16",
        "torchao", "inc", "mxfp4", "gpt_oss_mxfp4", "deepseek_v4_fp8", "online",
        "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only",
        "nvfp4_per_token", "mxfp8", "bitsandbytes", "gguf", "petit_nvfp4", "auto-round",
        "cpu_awq", "rtn", "ptpc_fp8", "tpu_int8", "auto_round",
    }
)  # fmt: skip
"""Values of quant_method besides ModelOpt's that some known release accepts (vllm 0.33.0
vllm/model_executor/layers/quantization/__init__.py, and what older releases have besides)."""

OWN_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "fp8": ("DeepseekV4*", "BailingMoeV3*", "BailingMoEV3*"),
}
"""quant_method -> shell patterns of the architectures that have their own class for it, or change
what the usual class does (vllm 0.33.0, vllm/models/deepseek_v4/quant_config.py and deepseek_v41/,
and vllm/model_executor/models/bailing_moe_v3.py)."""

CONFIG_CLASSES: Final = (
    # It takes transformers 5.16.1 to 5.20. Its own classes: `_CONFIG_REGISTRY` in
    # vllm/transformers_utils/config.py.
    ConfigClassesRow(
        "0.33.0",
        "5.19.0",
        own="vllm-0.33.0",
        written="vllm-0.33.0-written",
    ),
)
