"""Changes to vLLM and torch for `record_oracle.py`: lookups are recorded, no device is needed."""

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

Lookups = dict[str, dict[str, str | None]]


def record_lookups(asked: Lookups) -> None:
    """Let every quantization config record its outermost lookups."""
    modelopt = importlib.import_module("vllm.model_executor.layers.quantization.modelopt")
    depth = [0]

    def recording(original: Callable[..., Any]) -> Callable[..., Any]:
        def get_quant_method(config: object, layer: object, prefix: str) -> object:
            depth[0] += 1
            try:
                answer = original(config, layer, prefix)
            finally:
                depth[0] -= 1
            if depth[0] == 0:
                # A layer that gets None falls back to its own unquantized method.
                got = None if answer is None else type(answer).__name__
                asked[prefix] = {"class": type(layer).__name__, "answer": got}
            return answer

        return get_quant_method

    classes: list[Any] = [value for value in vars(modelopt).values() if isinstance(value, type)]
    for config_class in classes:
        if "get_quant_method" in vars(config_class):
            config_class.get_quant_method = recording(config_class.get_quant_method)


def without_device() -> None:
    """Let code that requests a CUDA device or moves modules work without memory."""
    torch: Any = importlib.import_module("torch")
    empty = torch.empty

    def empty_anywhere(*sizes: object, **options: object) -> object:
        if str(options.get("device", "")).startswith("cuda"):
            options["device"] = "meta"
        return empty(*sizes, **options)

    torch.empty = empty_anywhere
    torch.nn.Module.to = lambda module, *_, **__: module


def complete_placeholders() -> None:
    """What some models want installed and never call while they are built."""
    # The sparse attention of GLM-MoE-DSA and DeepSeek V3.2 and V4.
    indexer: Any = importlib.import_module("vllm.model_executor.layers.sparse_attn_indexer")
    indexer.has_deep_gemm = lambda: True
    # Sparse attention needs blocks of 64; the oracle requests 16.
    cache_config: Any = importlib.import_module("vllm.config").CacheConfig
    make = cache_config.__init__
    cache_config.__init__ = lambda self, **sizes: make(self, **sizes | {"block_size": 64})
    for module in ("torchvision.transforms.v2", "torchvision.transforms"):
        functional = importlib.import_module(module).functional
        functional.InterpolationMode = type("InterpolationMode", (), {"BICUBIC": 3})
    fusions = ("rms_quant", "act_quant", "attn_quant", "qk_norm_rope", "allreduce_rms")
    for last in ("matcher_utils", *(f"{fusion}_fusion" for fusion in fusions)):
        name = f"vllm.compilation.passes.fusion.{last}"
        placeholder: Any = types.ModuleType(name)
        placeholder.__getattr__ = lambda _: None
        sys.modules[name] = placeholder
