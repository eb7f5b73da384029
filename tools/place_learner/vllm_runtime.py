"""vLLM for the learner: a config that records, one build."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from place_learner import stand_ins, vllm_boot
from place_learner.built import Built, Kinds
from place_learner.listening import Call, by_layer, listen
from place_learner.meta_mode import mode
from place_learner.recorder import RECORDER, NoteTaker, Recording
from place_learner.remote_configs import register_plain_config

_COMMON: Final = (
    *("llama", "deepseek_v2", "qwen2_5_vl", "siglip", "qwen2", "qwen3", "qwen3_moe", "qwen3_vl"),
    *("clip", "pixtral", "llava", "whisper", "qwen2_vl", "mamba2", "bert", "internvl"),
    *("deepseek_mtp", "llama_eagle3", "nano_nemotron_vl"),
)
"""Imported before the children are forked, to save their time."""
_CACHED: Final = (
    *("cached_tokenizer_from_config", "get_tokenizer", "cached_get_tokenizer"),
    *("cached_image_processor_from_config", "cached_processor_from_config"),
    *("cached_feature_extractor_from_config", "cached_video_processor_from_config"),
    *("cached_get_image_processor", "cached_get_processor", "get_image_processor"),
)
_MODELS: Final = "vllm.model_executor.models."


class _Tokenizer:
    """Some classes read a token's id while they are built."""

    vocab_size = 1000

    def encode(self, *_: Any, **__: Any) -> list[int]:
        return [1]

    def __len__(self) -> int:
        return self.vocab_size

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: 1


class VllmRuntime(Recording):
    """See `learning` for what is asked of a runtime."""

    name = "vllm"
    config_extra: Final = {"quantization_config": {"quant_method": RECORDER}}

    def __init__(self, root: Path) -> None:
        self.root = root
        vllm_boot.boot(root)
        from vllm.model_executor.models import registry

        self.registry = registry
        self.calls: list[Call] = []
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
        from vllm.model_executor.layers.vocab_parallel_embedding import (
            ParallelLMHead,
            VocabParallelEmbedding,
        )

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

        names = ("FusedMoE", "RoutedExperts", "SharedFusedMoE")
        experts = [x for x in (getattr(moe, n, None) for n in names) if isinstance(x, type)]
        return Kinds(
            linear=(LinearBase,),
            head=(ParallelLMHead,),
            embedding=(VocabParallelEmbedding,),
            experts=tuple(experts),
        )

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
        """The real class from a folder with a config.json."""
        register_plain_config(config)
        draft = architecture in self.registry._SPECULATIVE_DECODING_MODELS
        self.mappers.clear()
        vllm_config = self._vllm_config(str(folder), draft=draft)
        quant = vllm_config.quant_config
        self.calls.clear()
        listen(quant, self.calls)
        model = self._initialize(vllm_config)
        packed = getattr(quant, "packed_modules_mapping", None) or {}
        return Built(
            model,
            by_layer(self.calls),
            {name: tuple(members) for name, members in packed.items()},
            getattr(type(model), "hf_to_vllm_mapper", None),
            lambda: self._current(vllm_config),
            quant.get_name(),
            list(self.mappers),
        )

    def _initialize(self, vllm_config: Any) -> Any:
        from vllm.model_executor.model_loader.utils import get_model_architecture, initialize_model
        from vllm.utils.torch_utils import set_default_torch_dtype

        model_config = vllm_config.model_config
        get_model_architecture(model_config)  # imports the module whose functions are replaced next
        _fake_tokenizers()
        vllm_boot.claim_deep_gemm()
        with set_default_torch_dtype(model_config.dtype), mode():
            return initialize_model(vllm_config, model_config=model_config)

    def _vllm_config(self, folder: str, *, draft: bool) -> Any:
        """VllmConfig of a folder, and the process groups of one rank."""
        from vllm import config as vllm_config

        model = vllm_config.ModelConfig(
            model=folder,
            tokenizer=folder,
            skip_tokenizer_init=True,
            dtype="bfloat16",
            max_model_len=128,
            runner="draft" if draft else "auto",
            enforce_eager=True,
            trust_remote_code=False,
            limit_mm_per_prompt={},
        )
        scheduler = vllm_config.SchedulerConfig(
            max_num_batched_tokens=128,
            max_num_seqs=2,
            max_model_len=128,
            is_encoder_decoder=bool(getattr(model, "is_encoder_decoder", False)),
        )
        out = vllm_config.VllmConfig(
            model_config=model,
            cache_config=vllm_config.CacheConfig(block_size=64),
            parallel_config=vllm_config.ParallelConfig(),
            device_config=vllm_config.DeviceConfig("cpu"),
            load_config=vllm_config.LoadConfig(),
            scheduler_config=scheduler,
        )
        self._groups(out)
        if draft:
            object.__setattr__(out, "speculative_config", _speculative(out, model))
        return out

    def _groups(self, vllm_config: Any) -> None:
        import torch
        from vllm.distributed import parallel_state as state

        try:
            from vllm.v1.worker.workspace import init_workspace_manager

            init_workspace_manager(torch.device("cpu"))
        except Exception:  # there already, or an older release
            pass
        if not torch.distributed.is_initialized():
            with tempfile.NamedTemporaryFile(delete=False) as store, self._current(vllm_config):
                where = f"file://{store.name}"
                state.init_distributed_environment(1, 0, where, 0, backend="gloo")
                state.initialize_model_parallel(1, 1)
        for group in ("_EP", "_EPLB"):
            if getattr(state, group, state) is None:
                setattr(state, group, state._TP)

    def _current(self, vllm_config: Any) -> Any:
        from vllm.config import set_current_vllm_config

        return set_current_vllm_config(vllm_config)


def _rules(mapper: Any) -> dict[str, Any]:
    """The rules of a WeightsMapper by kind, (old, new) each; new is None where it drops a name."""
    out: dict[str, Any] = {}
    for kind in ("regex", "substr", "prefix", "suffix"):
        table = getattr(mapper, f"orig_to_new_{kind}", None) or {}
        rules = [(getattr(old, "pattern", old), new) for old, new in table.items()]
        if rules:
            out[kind] = [(str(old), new if new is None else str(new)) for old, new in rules]
    return out


def _speculative(vllm_config: Any, model: Any) -> Any:
    """A SpeculativeConfig that says None to what it was not told.

    A real one would load the target model's config.
    """
    from vllm.config import SpeculativeConfig

    class Loose(SpeculativeConfig):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            asks = name.startswith(("use_", "uses_", "is_", "supports_"))
            return (lambda *_, **__: False) if asks else None

    out = object.__new__(Loose)
    told = {
        "draft_model_config": model,
        "num_speculative_tokens": 1,
        "method": "mtp",
        "target_model_config": model,
        "draft_parallel_config": vllm_config.parallel_config,
        "target_parallel_config": vllm_config.parallel_config,
        "parallel_drafting": False,
        "draft_load_config": None,
        "quantization": None,
        "moe_backend": None,
        "attention_backend": None,
    }
    for key, value in told.items():
        object.__setattr__(out, key, value)
    return out


def _fake_tokenizers() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("vllm."):
            for function in _CACHED:
                if function in getattr(module, "__dict__", {}):
                    made: Any = _Tokenizer if "token" in function else stand_ins.Blob
                    setattr(module, function, lambda *_, made=made, **__: made())
