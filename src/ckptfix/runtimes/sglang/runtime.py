"""SGLang: the `RUNTIME` of this folder."""

from typing import Final

from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, PARAMS_FILE
from ckptfix.checkpoint.formats.native_rows import BLOCK_FP8
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.exclusion import Exclusion
from ckptfix.runtimes.common.layer_maps import HF_QUANT_FILE, Files
from ckptfix.runtimes.common.patterns import Packed, PatternTable
from ckptfix.runtimes.common.rows import row_for
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.sglang.before_0_5_9 import ExclusionByFormat
from ckptfix.runtimes.sglang.config_object import stray_config
from ckptfix.runtimes.sglang.correction import SglangRelease
from ckptfix.runtimes.sglang.excluding import EXCLUDING
from ckptfix.runtimes.sglang.exclusion import SglangExclusion
from ckptfix.runtimes.sglang.methods import method_named
from ckptfix.runtimes.sglang.mistral import chooses
from ckptfix.runtimes.sglang.reading import read_sglang
from ckptfix.runtimes.sglang.releases import CONFIG_CLASSES, LOOKUP, READING
from ckptfix.runtimes.sglang.shared_experts import sglang_options

_NAME: Final = "sglang"


def _read(files: Files, version: str, architecture: str) -> EffectiveMetadata | None:
    return read_sglang(files, SglangRelease(row_for(_NAME, version, READING), architecture))


def _exclusion(version: str, quant_algo: str, patterns: PatternTable, packed: Packed) -> Exclusion:
    row = row_for(_NAME, version, EXCLUDING)
    found = SglangExclusion(row, patterns, packed)
    return ExclusionByFormat(found, is_fp8="FP8" in quant_algo) if row.by_format else found


RUNTIME: Final = Runtime(
    name=_NAME,
    title="SGLang",
    order=2,
    serve_command="python -m sglang.launch_server --model-path {}",
    override_flag="--json-model-override-args",
    reads=(CONFIG_FILE, PARAMS_FILE, HF_QUANT_FILE),
    lookup_rules=LOOKUP,
    read=_read,
    exclusion=_exclusion,
    reading_rows=READING,
    excluding_rows=EXCLUDING,
    method_named=method_named,
    needed_options=sglang_options,
    chooses=chooses,
    drops_strays=True,
    # `get_quant_method` of Fp8Config and QuarkConfig, sglang/srt/layers/quantization.
    scales_of_cache_with=frozenset({"fp8", "quark"}),
    # sglang/srt/layers/parameter.py, `pad_or_narrow_weight`, and sglang/srt/layers/linear.py.
    pads_short_mlps=True,
    needs_architectures=True,
    always_takes_kv_scales=False,
    # sglang 0.5.23, sglang/srt/model_loader/weight_utils.py `maybe_remap_kv_scale_name`: it puts
    # `attn` before every other name, which none has then. NemotronH, whose attention is a `mixer`,
    # keeps a name that it has (sglang/srt/models/nemotron_h.py).
    drops_kv_scales_at=(
        "*.self_attn.attn.[kv]_scale",
        "*.k_proj.v_scale",
        "*.v_proj.k_scale",
        *(f"*.{part}_proj.[kv]_scale" for part in ("q", "qkv", "o", "gate", "up", "down")),
    ),
    # `quark_scale_names` of `maybe_remap_kv_scale_name` (0.5.8 to 0.5.23, weight_utils.py).
    reads_output_scales=True,
    # Its wheels pin a release of transformers: 0.5.9 takes 4.57.1, 0.5.10 takes 5.3.0.
    with_transformers_5=">=0.5.10",
    config_classes=CONFIG_CLASSES,
    stray_config=stray_config,
    asks_entry_of_excluded=True,
    scale_names=dict.fromkeys(
        ("MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES", BLOCK_FP8), "weight_scale_inv"
    ),
)
