"""vLLM for the learner: a config that records, one build."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from place_learner import sandbox
from place_learner.recorder import RECORDER, NoteTaker, Recording
from runtime_probe import stand_ins, vllm_boot
from runtime_probe.built import Built, Kinds
from runtime_probe.meta_mode import mode
from runtime_probe.vllm_models import VllmModels

_COMMON: Final = (
    *("llama", "deepseek_v2", "qwen2_5_vl", "siglip", "qwen2", "qwen3", "qwen3_moe", "qwen3_vl"),
    *("clip", "pixtral", "llava", "whisper", "qwen2_vl", "mamba2", "bert", "internvl"),
    *("deepseek_mtp", "llama_eagle3", "nano_nemotron_vl"),
)
"""Imported before the children are forked, to save their time."""
_MODELS: Final = "vllm.model_executor.models."


class VllmRuntime(VllmModels, Recording):
    """See `learning` for the interface of a runtime."""

    name = "vllm"
    config_extra: Final = {"quantization_config": {"quant_method": RECORDER}}

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        sandbox.add_packages()
        sys.path.insert(0, str(root))
        vllm_boot.boot()
        from vllm.model_executor.models import registry

        self.registry = registry
        self.recorder_name = [RECORDER]
        self.mappers: list[dict[str, Any]] = []
        self.kinds = self._record()
        vllm_boot.stand_in_for_kernels()
        for name in _COMMON:
            try:
                importlib.import_module(_MODELS + name)
            except Exception as error:
                print(f"{name} does not import: {error}", file=sys.stderr)
        stand_ins.no_processors()

    def _record(self) -> Kinds:
        """Register a config that takes notes; the layer classes."""
        import torch
        from vllm.model_executor.layers.fused_moe import layer as moe
        from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
        from vllm.model_executor.layers.quantization import register_quantization_config
        from vllm.model_executor.layers.quantization.base_config import QuantizationConfig

        try:
            from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import (
                UnquantizedFusedMoEMethod as ExpertsMethod,
            )
        except ImportError:
            ExpertsMethod = moe.UnquantizedFusedMoEMethod  # noqa: N806 - it is the class
        name, mappers = self.recorder_name, self.mappers

        @register_quantization_config(RECORDER)
        class Recorder(NoteTaker, QuantizationConfig):
            """Leaves every layer unquantized."""

            called = name
            dtypes = (torch.bfloat16, torch.float16, torch.float32)

            def apply_vllm_mapper(self, mapper: Any) -> None:
                mappers.append(_rules(mapper))

            def get_quant_method(self, layer: Any, prefix: str) -> Any:
                if isinstance(layer, LinearBase):
                    return UnquantizedLinearMethod()
                if hasattr(layer, "moe_config") and "Attention" not in type(layer).__name__:
                    return ExpertsMethod(layer.moe_config)
                return None

        return self.layer_kinds()

    def architectures(self) -> list[str]:
        """Every registered architecture."""
        return list(self.registry._VLLM_MODELS)

    def model_class(self, architecture: str) -> Any:
        """The class that serves an architecture."""
        module, name = self._where(architecture)
        with mode():
            return getattr(importlib.import_module(module), name)

    def same_class(self, architecture: str) -> list[str]:
        """Other architectures that the same class serves."""
        models = self.registry._VLLM_MODELS
        own = models[architecture]
        return [a for a, where in models.items() if where == own and a != architecture]

    def inner(self, model: Any) -> list[str]:
        """Registered architectures whose classes are built inside, outermost first."""
        served: dict[tuple[str, str], str] = {}
        for architecture in self.architectures():
            served.setdefault(self._where(architecture), architecture)
        classes = [type(module) for module in list(model.modules())[1:]]
        names = [served.get((c.__module__, c.__name__)) for c in classes]
        return list(dict.fromkeys(filter(None, names)))

    def _where(self, architecture: str) -> tuple[str, str]:
        module, name = self.registry._VLLM_MODELS[architecture]
        return module if module.startswith("vllm.") else _MODELS + module, name

    def config_registry(self) -> Any:
        """model_type -> config class, of those that vLLM brings."""
        from vllm.transformers_utils.config import _CONFIG_REGISTRY

        return _CONFIG_REGISTRY

    def build(self, folder: Path, config: dict[str, Any], architecture: str) -> Built:
        """The real class from a folder with a config.json, and the mappers that were applied."""
        self.mappers.clear()
        return replace(super().build(folder, config, architecture), mappers=list(self.mappers))


def _rules(mapper: Any) -> dict[str, Any]:
    """The rules of a WeightsMapper by kind, (old, new) each; new is None where it drops a name."""
    out: dict[str, Any] = {}
    for kind in ("regex", "substr", "prefix", "suffix"):
        table = getattr(mapper, f"orig_to_new_{kind}", None) or {}
        rules = [(getattr(old, "pattern", old), new) for old, new in table.items()]
        if rules:
            out[kind] = [(str(old), new if new is None else str(new)) for old, new in rules]
    return out
