"""SGLang's model classes, built from a folder with a config.json, weights on the meta device."""

import concurrent.futures
import contextlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from runtime_probe import gpu, sglang_start, stand_ins
from runtime_probe.built import Built, Kinds
from runtime_probe.class_imports import CaughtBySglang
from runtime_probe.listening import Call, by_layer, listen
from runtime_probe.meta_mode import mode
from runtime_probe.remote_configs import note, register_plain_config

_ABSENT: Final = (
    *("sgl_kernel", "flashinfer", "tilelang", "cutlass", "deep_gemm", "decord", "nvtx", "torchao"),
    *("torchcodec", "cuda", "quack", "deep_ep", "aiter", "vllm", "mooncake", "torchaudio"),
    *("flash_mla", "fast_hadamard_transform", "flash_attn", "outlines", "gguf", "IPython"),
    *("modelscope", "av", "sgl_kernel_npu", "librosa", "kernels", "flash_kda", "fla", "pybase64"),
    *("msgpack", "sglang_router", "smg_grpc_proto", "grpc", "torch_memory_saver", "addict"),
    *("easydict", "remote_pdb", "blobfile", "cuda_python", "jit_kernel", "nixl", "xxhash"),
    *("zstandard", "datasets", "pynvml", "numba", "humming", "dateutil"),
)
_ABSENT_FIRST: Final = ("tvm_ffi", "xgrammar", "llguidance")
_OPERATORS: Final = frozenset(
    {"sgl_kernel", "sglang", "_C", "_moe_C", "sgl_kernel_cpu", "flashinfer", "vllm"}
    | {"_vllm_fa3_C", "fbgemm"}
)
_BACKENDS: Final = ("triton", "flashinfer", "fa3", None)
"""Some models reject some attention backends."""
_LAYER_KINDS: Final = {"linear_attention": "mamba", "full_attention": "attention"}
_MAMBA: Final = (
    ("n_groups", "mamba_n_groups"),
    ("conv_kernel", "mamba_d_conv"),
    ("expand", "mamba_expand"),
)


class _InTheCaller:
    """An executor without threads: torch's modes belong to one thread."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "_InTheCaller":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def submit(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        future: Any = concurrent.futures.Future()
        try:
            future.set_result(function(*args, **more))
        except BaseException as error:
            future.set_exception(error)
        return future

    def map(self, function: Callable[..., Any], *lists: Any, **_: Any) -> list[Any]:
        return [function(*row) for row in zip(*lists, strict=False)]

    def shutdown(self, *_: Any, **__: Any) -> None: ...


def boot() -> None:
    """Make `import sglang` work without a GPU and without compiled packages."""
    import torch

    gpu.import_torch_whole()
    gpu.declare_torchvision()
    from transformers import AutoProcessor  # noqa: F401 - before a stand-in shadows it

    _before_imports(torch)
    gpu.fake_gpu()
    sys.meta_path.insert(0, stand_ins.StandIns(_ABSENT_FIRST))
    sys.meta_path.append(stand_ins.StandIns(_ABSENT))
    stand_ins.missing_ops(_OPERATORS)


class SglangModels:
    """Builds a model; `calls` are the lookups of the last one."""

    radio = "sglang.srt.configs.radio"
    """Where the sizes of RADIO towers are."""
    recorder: Any = None
    """A quantization config for checkpoints without one; None: then there are no lookups."""
    respells = False
    """Respells keys that transformers 5 writes differently from how SGLang reads them."""

    def __init__(self) -> None:
        self._caught = CaughtBySglang()
        from sglang.srt.models.registry import ModelRegistry

        self.registry = ModelRegistry
        self.calls: list[Call] = []
        self.started = False
        self._wanted = ""

    def import_error(self) -> BaseException | None:
        """Why the class of the last build does not import; None if it does, or if there is none.

        SGLang falls back to transformers' own classes then.
        """
        return self._caught.error(self._wanted) if self._wanted else None

    def spellings(self, config: dict[str, Any]) -> list[str]:
        """What is read differently from how it is written."""
        return note(config, self.config_registry())

    def config_registry(self) -> Any:
        """model_type -> config class, of those that SGLang brings."""
        for module in ("hf_transformers.common", "hf_transformers_utils"):
            try:
                return importlib.import_module(f"sglang.srt.utils.{module}")._CONFIG_REGISTRY
            except (ImportError, AttributeError):
                continue  # it moved between releases
        return {}

    def layer_kinds(self) -> Kinds:
        """The layer classes."""
        from sglang.srt.layers.linear import LinearBase
        from sglang.srt.layers.moe.fused_moe_triton.layer import FusedMoE
        from sglang.srt.layers.vocab_parallel_embedding import (
            ParallelLMHead,
            VocabParallelEmbedding,
        )

        return Kinds(
            linear=(LinearBase,),
            head=(ParallelLMHead,),
            embedding=(VocabParallelEmbedding,),
            experts=(FusedMoE,),
        )

    def model_class(self, architecture: str) -> Any:
        """The class that serves an architecture."""
        self._wanted = architecture
        return self.registry.resolve_model_cls([architecture])[0]

    def build(self, folder: Path, config: dict[str, Any], architecture: str) -> Built:
        """The real class from a folder with a config.json or a params.json."""
        import torch
        from sglang.srt.model_loader.utils import set_default_torch_dtype

        register_plain_config(config, self.config_registry())
        if self.respells and (folder / "config.json").is_file():
            _spell_as_sglang(folder / "config.json")
        hf_config, quant = self._configs(str(folder), architecture)
        # Mistral's own format names no architecture: SGLang finds it.
        model_class = self.model_class(architecture or hf_config.architectures[0])
        packed = getattr(model_class, "packed_modules_mapping", None)
        packed = {} if packed is None else packed  # the table itself: a class may add to it
        if quant is None and self.recorder is not None:
            quant = self.recorder()
            quant.packed_modules_mapping = packed
        self.calls.clear()
        if quant is not None:
            listen(quant, self.calls)
        with set_default_torch_dtype(torch.bfloat16), mode():
            model = model_class(config=hf_config, quant_config=quant)
        mapper = getattr(model_class, "hf_to_sglang_mapper", None)
        return Built(
            model,
            by_layer(self.calls),
            {name: tuple(members) for name, members in packed.items()},
            mapper,
            _loading,
            quant.get_name() if quant is not None else "",
            [] if mapper is None else None,
            _quantizes_cache(model),
        )

    def _configs(self, folder: str, architecture: str) -> tuple[Any, Any]:
        """The config as SGLang hands it to the class, and its quantization config (or None).

        The config as the library reads it if ModelConfig rejects an unquantized one.
        """
        from sglang.srt.configs.load_config import LoadConfig
        from sglang.srt.configs.model_config import ModelConfig
        from sglang.srt.model_loader import loader

        if not self.started:
            self._start(folder)
        quantized = _is_quantized(Path(folder))
        try:
            model_config = ModelConfig(folder, dtype="bfloat16")
        except Exception:
            if quantized:
                raise
            from transformers import AutoConfig

            return AutoConfig.from_pretrained(folder), None
        if not quantized:
            return model_config.hf_config, None
        read = loader._get_quantization_config
        tables: tuple[Any, ...] = ()
        if "packed_modules_mapping" in inspect.signature(read).parameters:
            found = architecture or model_config.hf_config.architectures[0]
            tables = _tables(self.model_class(found))
        quant = read(model_config, LoadConfig(), *tables)
        if quant is None:
            raise RuntimeError("no quantization config from this metadata")
        return model_config.hf_config, quant

    def _start(self, folder: str) -> None:
        """Resolve and publish the server's arguments, and create the process groups of one rank."""
        errors = []
        for backend in _BACKENDS:
            try:
                arguments = sglang_start.publish(folder, backend)
                break
            except Exception as error:
                errors.append(error)
        else:
            raise errors[0]
        self.started = True
        with mode():
            sglang_start.groups(arguments)


def _is_quantized(folder: Path) -> bool:
    """True if one of the files that SGLang reads declares a quantization."""
    keys: set[str] = set()
    for name in ("config.json", "params.json"):
        if (folder / name).is_file():
            keys |= json.loads((folder / name).read_text("utf-8")).keys()
    declared = keys & {"quantization_config", "quantization"}
    return bool(declared) or (folder / "hf_quant_config.json").exists()


def _tables(model_class: Any) -> tuple[Any, Any]:
    """What SGLang 0.5.8 hands to the quantization config as arguments."""
    packed = getattr(model_class, "packed_modules_mapping", {})
    return packed, getattr(model_class, "remap_prefix", None)


def _quantizes_cache(model: Any) -> bool:
    """As `configure_kv_cache_dtype` decides without an argument."""
    algorithm = getattr(getattr(model, "quant_config", None), "kv_cache_quant_algo", None)
    return isinstance(algorithm, str) and algorithm.upper() == "FP8"


def _loading() -> contextlib.AbstractContextManager[Any]:
    """Loaders that use threads run in the calling thread."""
    for name, module in list(sys.modules.items()):
        if name.startswith("sglang.srt.models") and hasattr(module, "ThreadPoolExecutor"):
            setattr(module, "ThreadPoolExecutor", _InTheCaller)  # noqa: B010
    concurrent.futures.ThreadPoolExecutor = _InTheCaller  # type: ignore[misc, assignment]
    return contextlib.nullcontext()


def _before_imports(torch: Any) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    register = CONFIG_MAPPING.register
    CONFIG_MAPPING.register = lambda key, value, **_: register(key, value, exist_ok=True)
    register_fake = torch.library.register_fake

    def lenient(operator: Any, function: Any = None, **more: Any) -> Any:
        def decorate(made: Any) -> Any:
            try:
                return register_fake(operator, made, **more)
            except (RuntimeError, NotImplementedError):
                return made  # the operator belongs to a compiled package that is absent

        return decorate(function) if function is not None else decorate

    torch.library.register_fake = lenient
    torch.version.cuda = "12.9"
    torch.cuda.is_available = lambda: True
    torch._C._cuda_getCurrentRawStream = lambda *_: 0
    torch.compile = lambda model=None, **_: model if model is not None else (lambda f: f)


def _spell_as_sglang(path: Path) -> None:
    """Spellings of NemotronH and Qwen3.5 that newer libraries write and SGLang does not read."""
    config = json.loads(path.read_text("utf-8"))
    parts = [config, config.get("llm_config") or {}, config.get("text_config") or {}]
    for part in parts:
        if "nemotron_h" not in str(part.get("model_type", "")).lower():
            continue
        for key in ("layers_block_type", "mtp_layers_block_type"):
            if isinstance(part.get(key), list):
                part[key] = [_LAYER_KINDS.get(kind, kind) for kind in part[key]]
        for old, new in _MAMBA:
            if old in part:
                part.setdefault(new, part[old])
    text = config.get("text_config") or config
    kinds = text.get("layer_types") or []
    if "qwen3_5" in str(text.get("model_type")) and "full_attention" in kinds:
        text.setdefault("full_attention_interval", kinds.index("full_attention") + 1)
    path.write_text(json.dumps(config), "utf-8")
