"""Which of a checkpoint's metadata files a runtime goes by."""

from dataclasses import dataclass

from ckptfix.checkpoint.metadata import CONFIG_FILE, HF_QUANT_FILE, MetadataFile, Statement


@dataclass(frozen=True)
class EffectiveMetadata:
    """What a runtime takes from the metadata."""

    file: str
    """The file that decides."""
    quant_algo: str | None
    entries: tuple[Statement, ...]
    """In the order of the file: some lookups take the first that fits."""
    excludes: tuple[Statement, ...]
    quant_method: str | None = None
    """Of config.json; hf_quant_config.json has none."""

    @property
    def is_mixed(self) -> bool:
        """True when quantized_layers decides per module."""
        return (self.quant_algo or "").upper() == "MIXED_PRECISION"


def effective_metadata(files: tuple[MetadataFile, ...]) -> EffectiveMetadata | None:
    """The metadata that vLLM and SGLang go by; None when neither file is there.

    config.json decides. hf_quant_config.json is read only if config.json has no
    quantization_config, or says MIXED_PRECISION without quantized_layers (vLLM 0.33.0,
    vllm/model_executor/model_loader/weight_utils.py `get_quant_config`, executed; SGLang 0.5.23,
    sglang/srt/model_loader/weight_utils.py, read).
    """
    by_name = {metadata.file: metadata for metadata in files}
    config, hf_quant = by_name.get(CONFIG_FILE), by_name.get(HF_QUANT_FILE)
    if config is None or (hf_quant and config.is_mixed and not config.of_kind("entry")):
        config = hf_quant
    if config is None:
        return None
    return EffectiveMetadata(
        config.file,
        config.quant_algo,
        config.of_kind("entry"),
        config.of_kind("exclude"),
        by_name[CONFIG_FILE].quant_method if CONFIG_FILE in by_name else None,
    )
