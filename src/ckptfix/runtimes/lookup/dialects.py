"""Which release does what. A release that changed nothing needs no row.

Sources: vLLM 0.17.1 to 0.33.0, vllm/model_executor/layers/quantization/modelopt.py
(`is_layer_excluded`, `_resolve_quant_algo`, `apply_vllm_mapper`), .../utils/quant_utils.py
(`is_layer_skipped`) and vllm/model_executor/models/utils.py (`WeightsMapper`); SGLang 0.5.10 to
0.5.23, sglang/srt/layers/quantization/modelopt_quant.py and .../utils.py, and
sglang/srt/models/utils.py; for what becomes of MIXED_PRECISION, sglang/srt/configs/model_config.py
(`_parse_modelopt_quant_config`).
Every row is held against the answers of the real functions by `tools/conformance.py`.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

from packaging.version import Version

from ckptfix.errors import CkptfixError

RuleKindName = Literal["regex", "substr", "prefix", "suffix"]


@dataclass(frozen=True)
class Dialect:
    """How one release, and those after it up to the next row, looks names up."""

    runtime: str
    since: str
    """The first release read that behaves so."""
    rule_kinds: tuple[RuleKindName, ...]
    """Kinds of mapper rules that reach the metadata, in the order in which they apply."""
    single_match: bool
    """True: of each kind only the longest key that matches applies. False: every rule, in order."""
    none_rules_delete: bool
    """True: a None rule deletes the entry or pattern from the metadata. False: it is ignored."""
    splits_wildcards: bool
    """`X*` becomes `X` and `X.*` before mapping."""
    inner_classes_count: bool
    """Mappers and packed tables of inner model classes apply too, outermost first."""
    exclusion: Literal["vllm", "sglang"]
    excludes_substrings: bool
    """SGLang: a pattern hits anywhere in a name, not only on whole dotted parts."""
    ignores_trailing_dots: bool
    """SGLang: a pattern that ends in a dot hits as if it did not."""
    excludes_builtin_packed: bool
    """Exclusion knows the members of qkv_proj and gate_up_proj even without a packed table."""
    honours_listed_packed_name: bool
    """A packed name in the exclude list excludes the packed module; before, only members did."""
    candidates: tuple[tuple[str, str], ...]
    """(prefix asked, prefix tried instead), after the name itself; first prefix that fits."""
    head_candidate: bool
    """`x.lm_head` is also looked up as `lm_head`."""
    experts_take_siblings: bool
    """`x.experts` without a key takes the first key below `x`."""
    builtin_packed: bool
    """qkv_proj and gate_up_proj are looked up by their members even without a packed table."""
    dispatched: frozenset[str]
    """Values of quant_algo in quantized_layers that get a quantized linear layer; others do not."""
    dispatched_experts: frozenset[str]
    """The same for expert banks."""
    uniform: frozenset[str]
    """Values of quant_algo for the whole checkpoint that the release accepts; others stop it."""
    mixed_architectures: tuple[str, ...]
    """Shell patterns of the architectures whose MIXED_PRECISION is read per layer; else W4AFP8."""
    mixed_needs_nvfp4: bool
    """MIXED_PRECISION is read per layer only if some entry is NVFP4 or W4A16_NVFP4; else W4AFP8."""
    needs_quant_method: bool
    """A quantization_config without quant_method is ignored: all is built unquantized."""
    quantizes_heads: bool
    """An output head can be quantized; before, it is built unquantized whatever is said."""
    bare_parts: tuple[str, ...]
    """Under a uniform quant_algo, a module with one of these in its name is left unquantized."""

    @property
    def mapping(self) -> tuple[object, ...]:
        """All that decides what mappers do to the names in the metadata."""
        return (
            self.rule_kinds,
            self.single_match,
            self.none_rules_delete,
            self.splits_wildcards,
            self.inner_classes_count,
        )


_VL_SWAP: Final = (
    ("language_model.model.", "model.language_model."),
    ("model.language_model.", "language_model.model."),
)
_SGLANG_SWAP: Final = (
    *_VL_SWAP,
    ("model.language_model.", "model."),
    ("model.", "model.language_model."),
)

_VLLM_0_17: Final = Dialect(
    runtime="vllm",
    since="0.17.1",
    rule_kinds=("substr", "prefix", "suffix"),
    single_match=False,
    none_rules_delete=True,
    splits_wildcards=True,
    inner_classes_count=True,
    exclusion="vllm",
    excludes_substrings=True,
    ignores_trailing_dots=False,
    excludes_builtin_packed=False,
    honours_listed_packed_name=False,
    candidates=(),
    head_candidate=False,
    experts_take_siblings=False,
    builtin_packed=False,
    dispatched=frozenset({"FP8", "NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4"}),
    uniform=frozenset({"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "NVFP4", "MXFP8"}),
    mixed_architectures=("*",),
    mixed_needs_nvfp4=False,
    needs_quant_method=True,
    quantizes_heads=False,
    bare_parts=("vision_tower", "vision_model"),
)
_VLLM_0_20: Final = replace(
    _VLLM_0_17, since="0.20.0", rule_kinds=("regex", "substr", "prefix", "suffix")
)
_VLLM_0_24: Final = replace(
    _VLLM_0_20,
    since="0.24.0",
    honours_listed_packed_name=True,
    candidates=_VL_SWAP,
    head_candidate=True,
    experts_take_siblings=True,
    dispatched=frozenset({"FP8", "NVFP4", "W4A16_NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4", "W4A16_NVFP4"}),
    uniform=_VLLM_0_17.uniform | {"W4A16_NVFP4"},
    quantizes_heads=True,
    bare_parts=("vision_tower", "vision_model", "vit_large_projector"),
)
_VLLM_0_25: Final = replace(
    _VLLM_0_24,
    since="0.25.0",
    builtin_packed=True,
    dispatched=_VLLM_0_24.dispatched | {"MXFP8"},
    dispatched_experts=_VLLM_0_24.dispatched | {"MXFP8"},
)
_VLLM_0_33: Final = replace(
    _VLLM_0_25,
    since="0.33.0",
    none_rules_delete=False,
    dispatched=_VLLM_0_24.uniform,
    dispatched_experts=_VLLM_0_25.dispatched | {"FP8_PB_WO", "FP8_BLOCK_SCALES"},
)

_SGLANG_0_5_10: Final = Dialect(
    runtime="sglang",
    since="0.5.10",
    rule_kinds=("substr", "prefix", "suffix"),
    single_match=True,
    none_rules_delete=True,
    splits_wildcards=False,
    inner_classes_count=False,
    exclusion="sglang",
    excludes_substrings=True,
    ignores_trailing_dots=False,
    excludes_builtin_packed=False,
    honours_listed_packed_name=False,
    candidates=(),
    head_candidate=False,
    experts_take_siblings=False,
    builtin_packed=False,
    dispatched=frozenset({"FP8", "NVFP4"}),
    dispatched_experts=frozenset({"FP8", "NVFP4"}),
    uniform=frozenset({"FP8", "NVFP4"}),
    mixed_architectures=("NemotronH*",),
    mixed_needs_nvfp4=False,
    needs_quant_method=False,
    quantizes_heads=False,
    bare_parts=(),
)
_SGLANG_0_5_12: Final = replace(
    _SGLANG_0_5_10, since="0.5.12", excludes_substrings=False, excludes_builtin_packed=True
)
_SGLANG_0_5_14: Final = replace(_SGLANG_0_5_12, since="0.5.14", ignores_trailing_dots=True)
_SGLANG_0_5_17: Final = replace(
    _SGLANG_0_5_14,
    since="0.5.17",
    candidates=_VL_SWAP,
    head_candidate=True,
    dispatched=frozenset({"FP8", "NVFP4", "W4A16_NVFP4", "MXFP8"}),
    dispatched_experts=frozenset({"FP8", "NVFP4", "W4A16_NVFP4", "MXFP8"}),
    uniform=frozenset({"FP8", "NVFP4", "NVFP4_AWQ"}),
    mixed_architectures=("*",),
    mixed_needs_nvfp4=True,
    quantizes_heads=True,
)
_SGLANG_0_5_20: Final = replace(
    _SGLANG_0_5_17,
    since="0.5.20",
    candidates=_SGLANG_SWAP,
    dispatched=_SGLANG_0_5_17.dispatched | {"FP8_PB_WO", "FP8_BLOCK_SCALES"},
    dispatched_experts=_SGLANG_0_5_17.dispatched_experts | {"FP8_BLOCK_SCALES"},
    uniform=_SGLANG_0_5_17.uniform | {"W4A16_NVFP4", "MXFP8"},
)
_SGLANG_0_5_23: Final = replace(
    _SGLANG_0_5_20,
    since="0.5.23",
    dispatched_experts=_SGLANG_0_5_20.dispatched_experts | {"FP8_PB_WO"},
)

DIALECTS: Final = (
    _VLLM_0_17,
    _VLLM_0_20,
    _VLLM_0_24,
    _VLLM_0_25,
    _VLLM_0_33,
    _SGLANG_0_5_10,
    _SGLANG_0_5_12,
    _SGLANG_0_5_14,
    _SGLANG_0_5_17,
    _SGLANG_0_5_20,
    _SGLANG_0_5_23,
)


def dialect_of(runtime: str, version: str) -> Dialect:
    """The newest row at or below a release.

    Raises:
        CkptfixError: the runtime is unknown, or the release older than its first row.
    """
    wanted = Version(version)
    rows = [d for d in DIALECTS if d.runtime == runtime and Version(d.since) <= wanted]
    if not rows:
        raise CkptfixError(f"{runtime} {version}: how this release looks names up is not known")
    return max(rows, key=lambda row: Version(row.since))
