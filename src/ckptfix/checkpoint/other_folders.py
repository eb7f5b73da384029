"""Directories that are not checkpoints, and the names of what they are."""

import json
from collections.abc import Sequence
from typing import Any, Final

from ckptfix.checkpoint.source import DirectorySource, Source
from ckptfix.errors import CkptfixError, UnsupportedError
from ckptfix.text import visible

ADAPTER_FILE: Final = "adapter_config.json"
"""PEFT 0.17, peft/utils/constants.py `CONFIG_NAME`."""
_ADAPTER_WEIGHTS: Final = "adapter_model"
PIPELINE_FILE: Final = "model_index.json"
"""diffusers 0.35, pipelines/pipeline_utils.py `config_name`."""
_CONFIG: Final = "config.json"
_QUANTIZED_BESIDE: Final = "hf_quant_config.json"
_SAFETENSORS: Final = ".safetensors"
_NEVER: Final = "ckptfix reads safetensors only and never unpickles"
_OTHER_WEIGHTS: Final = (
    ((".gguf",), "GGUF weights only and no .safetensors file", "ckptfix reads safetensors only"),
    ((".bin", ".pt", ".pth", ".ckpt"), "pickled weights only and no .safetensors file", _NEVER),
    ((".nemo",), "a NeMo archive and no .safetensors file", "ckptfix reads safetensors only"),
    (
        (".engine",),
        "TensorRT engines and no .safetensors file",
        "use the source checkpoint",
    ),
    ((".onnx",), "ONNX models and no .safetensors file", "ckptfix reads safetensors only"),
)
"""File endings of weights in other containers, what such a directory is, and what to do."""


def require_weights(source: Source) -> None:
    """Refuse an adapter, a pipeline, and weights in another container.

    Raises:
        UnsupportedError: the folder is one of those.
    """
    names = source.names()
    shards = [name for name in names if name.endswith(_SAFETENSORS)]
    if ADAPTER_FILE in names and all(name.startswith(_ADAPTER_WEIGHTS) for name in shards):
        base = _read(source, ADAPTER_FILE).get("base_model_name_or_path")
        named = f", {visible(base)}" if isinstance(base, str) and base else ""
        raise UnsupportedError(
            f"{source.where}: a LoRA adapter, not a checkpoint",
            advice=f"name the checkpoint that it adapts{named}",
        )
    if shards:
        return
    if PIPELINE_FILE in names:
        parts = [name for name in _read(source, PIPELINE_FILE) if name in names]
        raise UnsupportedError(
            f"{source.where}: a diffusers pipeline, not one checkpoint",
            advice=f"name one of its parts{_example(source, parts)}",
        )
    for endings, what, advice in _OTHER_WEIGHTS:
        if any(name.endswith(endings) for name in names):
            raise UnsupportedError(f"{source.where}: {what}", advice=advice)


def _example(source: Source, parts: Sequence[str]) -> str:
    """Of a local pipeline: the first part that is quantized, else the first."""
    if not isinstance(source, DirectorySource) or not parts:
        return ""
    quantized = next((part for part in parts if _is_quantized(source, part)), None)
    example = f", such as {source.where}/{visible(quantized or parts[0])}"
    return f"{example}, which is quantized" if quantized else example


def _is_quantized(pipeline: DirectorySource, part: str) -> bool:
    """True if the metadata of a part declares quantization."""
    source = DirectorySource(pipeline.root / part)
    return source.has(_QUANTIZED_BESIDE) or "quantization_config" in _read(source, _CONFIG)


def _read(source: Source, name: str) -> dict[str, Any]:
    try:
        value = json.loads(source.read(name))
    except (CkptfixError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
