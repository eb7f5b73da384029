"""vLLM: the `RUNTIME` of this folder."""

from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint
from ckptfix.checkpoint.dialects.statements import CONFIG_FILE, PARAMS_FILE
from ckptfix.checkpoint.formats.native_rows import BLOCK_FP8
from ckptfix.checkpoint.mistral import OWN_FILES
from ckptfix.runtimes.common.effective import EffectiveMetadata
from ckptfix.runtimes.common.layer_maps import HF_QUANT_FILE, Files
from ckptfix.runtimes.common.mistral import NotReadError, require_params
from ckptfix.runtimes.common.objects import StopsError
from ckptfix.runtimes.common.patterns import Packed, PatternTable
from ckptfix.runtimes.common.rows import row_for
from ckptfix.runtimes.interface import Runtime
from ckptfix.runtimes.vllm.exclusion import VllmExclusion
from ckptfix.runtimes.vllm.language_config import stray_config
from ckptfix.runtimes.vllm.methods import method_named
from ckptfix.runtimes.vllm.reading import read_vllm
from ckptfix.runtimes.vllm.releases import CONFIG_CLASSES, EXCLUDING, LOOKUP, ONLINE, READING
from ckptfix.text import visible

_NAME: Final = "vllm"


def _read(files: Files, version: str, architecture: str) -> EffectiveMetadata | None:  # noqa: ARG001 - the interface
    return read_vllm(files, row_for(_NAME, version, READING))


def _exclusion(
    version: str,
    _quant_algo: str,
    patterns: PatternTable,
    packed: Packed,
) -> VllmExclusion:
    return VllmExclusion(row_for(_NAME, version, EXCLUDING), patterns, packed)


def _chooses(checkpoint: Checkpoint, version: str) -> Checkpoint:
    """VLLM prefers Mistral's own format (vllm/transformers_utils/config.py `get_config`)."""
    if checkpoint.shard_below:
        below = f"there is {visible(checkpoint.shard_below)}"
        cause = f"{below}, so it looks for {OWN_FILES} next to config.json, and finds none"
        raise StopsError(f"{cause}; move it away, or serve with --load-format safetensors")
    own = checkpoint if checkpoint.is_mistral else checkpoint.other
    if own is None:
        return checkpoint
    if not own.is_mistral:
        return own  # prefers the shard files too, see `read_consolidated`
    reading = row_for(_NAME, version, READING)
    if reading.own_format is None:
        raise NotReadError(f"how this release reads {PARAMS_FILE} is not known to ckptfix")
    if own is checkpoint:
        require_params(own.documents[PARAMS_FILE], own.config_values or {}, reading.own_format)
    return own


RUNTIME: Final = Runtime(
    name=_NAME,
    title="vLLM",
    order=1,
    serve_command="vllm serve {}",
    override_flag="--hf-overrides",
    reads=(CONFIG_FILE, PARAMS_FILE, HF_QUANT_FILE),
    lookup_rules=LOOKUP,
    read=_read,
    exclusion=_exclusion,
    reading_rows=READING,
    excluding_rows=EXCLUDING,
    method_named=method_named,
    online=ONLINE,
    config_classes=CONFIG_CLASSES,
    stray_config=stray_config,
    chooses=_chooses,
    # `get_quant_method` of each config, vllm/model_executor/layers/quantization.
    scales_of_cache_with=frozenset({"compressed-tensors", "fp8", "quark"}),
    flags_for_transformers="--config-format hf --load-format hf",
    # Since vllm 0.25.0, AutoWeightsLoader loads most classes, and gets the names of these scales
    # from the quantization config (vllm/model_executor/models/utils.py `load_weights`).
    kv_scales_need_config=">=0.25",
    # vllm 0.33.0: what the loaders did with such a scale next to the keys of twelve towers.
    towers_skip_kv_scales={
        "WhisperForConditionalGeneration": "model.encoder.*",
        "PaddleOCRVLForConditionalGeneration": "visual.*",
        "MiniCPMV4_6ForConditionalGeneration": "*.vit_merger.*",
        "MiniCPMV4_7ForConditionalGeneration": "*.vit_merger.*",
    },
    # vllm/config/vllm.py `with_hf_config`, with transformers 5, which 0.19.1 is the first to take;
    # before, only where the language model's config had none.
    tied_by_wrapper=">=0.19.1",
    with_transformers_5=">=0.19.1",
    builds_tied_heads=True,
    # vllm/model_executor/model_loader/default_loader.py `track_weights_loading`: not linears,
    # experts and embeddings, which have a method that runs after loading.
    finds_unwritten_weights=True,
    validates_architectures=True,
    scale_names={BLOCK_FP8: "weight_scale_inv"},
)
