"""vLLM's model classes, built from a folder with a config.json, weights on the meta device."""

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from runtime_probe import stand_ins, vllm_boot
from runtime_probe.built import Built, Kinds
from runtime_probe.class_imports import CaughtByVllm
from runtime_probe.listening import Call, by_layer, listen
from runtime_probe.meta_mode import mode
from runtime_probe.remote_configs import note, register_plain_config

_CACHED: Final = (
    *("cached_tokenizer_from_config", "get_tokenizer", "cached_get_tokenizer"),
    *("cached_image_processor_from_config", "cached_processor_from_config"),
    *("cached_feature_extractor_from_config", "cached_video_processor_from_config"),
    *("cached_get_image_processor", "cached_get_processor", "get_image_processor"),
)


class _Tokenizer:
    """Some classes read a token's id while they are built."""

    vocab_size = 1000
    vocab = stand_ins.Blob()

    def get_vocab(self) -> Any:
        return self.vocab

    def encode(self, *_: Any, **__: Any) -> list[int]:
        return [1]

    def __len__(self) -> int:
        return self.vocab_size

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: 1


class VllmModels:
    """Builds a model; `calls` are the lookups of the last one."""

    radio = "vllm.transformers_utils.configs.radio"
    """Where the sizes of RADIO towers are."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._caught: CaughtByVllm | None = None

    def import_error(self) -> BaseException | None:
        """Why a class that the last build needed does not import; None if every one does."""
        return self._caught.error() if self._caught else None

    def spellings(self, config: dict[str, Any]) -> list[str]:
        """What is read differently from how it is written."""
        return note(config, _config_registry())

    def layer_kinds(self) -> Kinds:
        """The layer classes."""
        from vllm.model_executor.layers.fused_moe import layer as moe
        from vllm.model_executor.layers.linear import LinearBase
        from vllm.model_executor.layers.vocab_parallel_embedding import (
            ParallelLMHead,
            VocabParallelEmbedding,
        )

        names = ("FusedMoE", "RoutedExperts", "SharedFusedMoE")
        experts = [x for x in (getattr(moe, n, None) for n in names) if isinstance(x, type)]
        return Kinds(
            linear=(LinearBase,),
            head=(ParallelLMHead,),
            embedding=(VocabParallelEmbedding,),
            experts=tuple(experts),
        )

    def build(self, folder: Path, config: dict[str, Any], architecture: str) -> Built:
        """The real class from a folder with a config.json."""
        from vllm.model_executor.models import registry

        self._caught = CaughtByVllm(registry)
        register_plain_config(config, _config_registry())
        drafts = getattr(registry, "_SPECULATIVE_DECODING_MODELS", ())
        draft = architecture in drafts
        vllm_config = self._vllm_config(str(folder), draft=draft)
        quant = vllm_config.quant_config
        self.calls.clear()
        if quant is not None:
            listen(quant, self.calls)
        model = self._initialize(vllm_config)
        packed = getattr(quant, "packed_modules_mapping", None) or {}
        return Built(
            model,
            by_layer(self.calls),
            {name: tuple(members) for name, members in packed.items()},
            getattr(type(model), "hf_to_vllm_mapper", None),
            lambda: self._current(vllm_config),
            quant.get_name() if quant is not None else "",
            None,
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

        _fake_processing()
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
            config_format="auto" if Path(folder, "config.json").is_file() else "mistral",
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


def _config_registry() -> Any:
    """model_type -> config class, for those that vLLM defines."""
    from vllm.transformers_utils import config

    return getattr(config, "_CONFIG_REGISTRY", ())


def _speculative(vllm_config: Any, model: Any) -> Any:
    """A SpeculativeConfig that returns None for whatever it was not given.

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
    given = {
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
    for key, value in given.items():
        object.__setattr__(out, key, value)
    return out


def _fake_processing() -> None:
    """What finds out about images and sounds gets a tokenizer, though none is loaded."""
    try:
        from vllm.multimodal.processing.context import InputProcessingContext
    except ImportError:  # it moved between releases
        return
    InputProcessingContext.get_tokenizer = lambda self: self.tokenizer or _Tokenizer()


def _fake_tokenizers() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("vllm."):
            for function in _CACHED:
                if function in getattr(module, "__dict__", {}):
                    made: Any = _Tokenizer if "token" in function else stand_ins.Blob
                    setattr(module, function, lambda *_, made=made, **__: made())
