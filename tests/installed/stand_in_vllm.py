"""A vLLM and a transformers of a hundred lines, with the entry points that are asked.

Copied to `vllm/__init__.py` of a folder on the path, it makes the other modules itself. Its Llama
is real as far as it goes: layers with the parameters of their quantization, and a loader that
copies into them.
"""

import contextlib
import os
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import torch

from tests.installed.stand_in_mistral import config_in, of_its_own

TorchModule: Any = torch.nn.Module


def module(name: str, **members: Any) -> None:
    made = types.ModuleType(name)
    made.__path__ = []
    vars(made).update(members)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, made)
    sys.modules[name] = made


class Anything:
    def __init__(self, *_: Any, **given: Any) -> None:
        vars(self).update(given)


class Modelopt:
    """Excluded by its whole name or as one of the packed modules; else FP8."""

    packed_modules_mapping: ClassVar[dict[str, list[str]]] = {}

    def __init__(self, found: dict[str, Any]) -> None:
        self.ignored = found.get("ignore", [])
        if found.get("quant_algo") not in ("FP8", "NVFP4"):
            raise ValueError(f"stand-in: {found.get('quant_algo')} is not supported")
        self.algo = found["quant_algo"]

    def get_name(self) -> str:
        return "modelopt"

    def get_quant_method(self, _: Any, prefix: str) -> Any:
        return None if prefix in self.ignored else ModelOptMethod(self.algo)


class ModelOptMethod:
    def __init__(self, algo: str) -> None:
        self.algo = algo


class LinearBase(TorchModule):
    def __init__(self, rows: int, columns: int, parts: int, quant: Any, prefix: str) -> None:
        super().__init__()
        method = quant.get_quant_method(self, prefix) if quant else None
        algo = method.algo if method else ""
        columns = columns // 2 if algo == "NVFP4" else columns
        dtype = {"FP8": torch.float8_e4m3fn, "NVFP4": torch.uint8}.get(algo, torch.bfloat16)
        self.add("weight", torch.empty(rows, columns, dtype=dtype))
        if algo == "NVFP4":
            self.add("weight_scale", torch.empty(rows, columns // 8, dtype=torch.float8_e4m3fn))
            self.add("weight_scale_2", torch.empty(parts))
        elif algo:
            self.add("weight_scale", torch.empty(parts))
        if algo:
            self.add("input_scale", torch.empty(parts))

    def add(self, name: str, value: Any) -> None:
        self.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))


class ParallelLMHead(TorchModule):
    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(rows, columns))


class Embedding(ParallelLMHead): ...


class Norm(TorchModule):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(size))


PARTS = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


class Part(TorchModule): ...


class LlamaForCausalLM(TorchModule):
    def __init__(self, config: Any, quant: Any) -> None:
        super().__init__()
        size, inner = config["hidden_size"], config["intermediate_size"]
        self.model = Part()
        self.model.embed_tokens = Embedding(config["vocab_size"], size)
        self.model.norm = Norm(size)
        self.model.layers = torch.nn.ModuleList()
        for number in range(config["num_hidden_layers"]):
            layer, at = Part(), f"model.layers.{number}"
            layer.input_layernorm, layer.post_attention_layernorm = Norm(size), Norm(size)
            layer.self_attn, layer.mlp = Part(), Part()
            layer.self_attn.qkv_proj = LinearBase(
                3 * size, size, 3, quant, f"{at}.self_attn.qkv_proj"
            )
            layer.self_attn.o_proj = LinearBase(size, size, 1, quant, f"{at}.self_attn.o_proj")
            layer.mlp.gate_up_proj = LinearBase(2 * inner, size, 2, quant, f"{at}.mlp.gate_up_proj")
            layer.mlp.down_proj = LinearBase(size, inner, 1, quant, f"{at}.mlp.down_proj")
            self.model.layers.append(layer)
        self.lm_head = ParallelLMHead(config["vocab_size"], size)

    def load_weights(self, weights: Any) -> None:
        parameters = dict(self.named_parameters())
        for stored, tensor in weights:
            name = of_its_own(stored)
            for packed, members in PARTS.items():
                found = next((m for m in members if f".{m}." in name), None)
                if found:
                    target = parameters[name.replace(found, packed)].data
                    rows = target.shape[0] // len(members)
                    start = members.index(found) * rows
                    target[start : start + rows].copy_(tensor)
                    break
            else:
                target = parameters[name].data
                target.copy_(tensor if tensor.dim() else tensor.reshape(1))


class Registered:
    """A class of the registry; importing it runs a line of Python."""

    def __init__(self, line: str) -> None:
        self.line = line

    def load_model_cls(self) -> type:
        exec(self.line)
        return LlamaForCausalLM


def try_inspect(_: str, model: Registered) -> type | None:
    try:
        return model.load_model_cls()
    except (ImportError, RuntimeError):
        return None


class ModelConfig(Anything):
    def __init__(self, model: str, **given: Any) -> None:
        super().__init__(**given)
        self.values = config_in(Path(model), own=given["config_format"] == "mistral")
        if seconds := self.values.get("stand_in_sleeps"):
            import time

            time.sleep(seconds)
        if self.values.get("stand_in_lists"):
            raise ValueError(f"the directory has {sorted(os.listdir(model))}")
        if self.values.get("stand_in_dies"):
            os.abort()
        if self.values.get("stand_in_imports"):
            import a_package_that_nobody_has  # type: ignore[import-not-found]
        if self.values.get("stand_in_wraps"):
            try:
                import a_package_that_nobody_has  # noqa: F401
            except ImportError as error:
                raise RuntimeError("the class does not import") from error
        if line := self.values.get("stand_in_class"):
            registry: Any = sys.modules["vllm.model_executor.models.registry"]
            if registry._try_inspect_model_cls("LlamaForCausalLM", Registered(line)) is None:
                raise ValueError("LlamaForCausalLM failed to be inspected")
        if host := self.values.get("stand_in_connects"):
            import socket

            socket.create_connection((host, 80), timeout=1)
        self.dtype = torch.bfloat16


class VllmConfig(Anything):
    def __init__(self, model_config: Any, **given: Any) -> None:
        super().__init__(model_config=model_config, **given)
        found = model_config.values.get("quantization_config")
        self.quant_config = Modelopt(found) if found else None


class Platform:
    @classmethod
    def get_attn_backend_cls(cls) -> str:
        return ""


def initialize_model(vllm_config: Any, **_: Any) -> Any:
    return LlamaForCausalLM(vllm_config.model_config.values, vllm_config.quant_config)


@contextlib.contextmanager
def as_it_is(*_: Any) -> Any:
    yield


def nothing(*_: Any, **__: Any) -> None: ...


def install() -> None:
    """Make the other modules."""
    module("transformers", AutoConfig=Anything, PretrainedConfig=Anything)
    module("transformers.utils")
    module("transformers.utils.import_utils")
    module("transformers.processing_utils", ProcessorMixin=type("ProcessorMixin", (), {}))
    module("transformers.models")
    module("transformers.models.auto")
    module(
        "transformers.models.auto.configuration_auto", CONFIG_MAPPING_NAMES={"llama": "LlamaConfig"}
    )
    module("vllm.platforms", _current_platform=None)
    module("vllm.platforms.cuda", NonNvmlCudaPlatform=Platform)
    module("vllm.platforms.interface", DeviceCapability=tuple)
    module("vllm._custom_ops")
    module("vllm.triton_utils", HAS_TRITON=True)
    module("vllm.distributed")
    module(
        "vllm.distributed.parallel_state",
        init_distributed_environment=nothing,
        initialize_model_parallel=nothing,
        _TP=None,
    )
    module("vllm.utils")
    module("vllm.utils.import_utils")
    module("vllm.utils.torch_utils", set_default_torch_dtype=as_it_is)
    module("vllm.transformers_utils")
    module("vllm.transformers_utils.config", _CONFIG_REGISTRY={})
    module("vllm.model_executor")
    module("vllm.model_executor.models")
    module(
        "vllm.model_executor.models.registry",
        _SPECULATIVE_DECODING_MODELS={},
        _try_inspect_model_cls=try_inspect,
    )
    module("vllm.model_executor.model_loader")
    module("vllm.model_executor.model_loader.default_loader")
    module(
        "vllm.model_executor.model_loader.utils",
        get_model_architecture=nothing,
        initialize_model=initialize_model,
    )
    module("vllm.model_executor.layers")
    module("vllm.model_executor.layers.linear", LinearBase=LinearBase)
    module("vllm.model_executor.layers.fused_moe")
    module("vllm.model_executor.layers.fused_moe.layer")
    module(
        "vllm.model_executor.layers.vocab_parallel_embedding",
        ParallelLMHead=ParallelLMHead,
        VocabParallelEmbedding=Embedding,
    )
    module(
        "vllm.model_executor.layers.quantization",
        register_quantization_config=nothing,
        get_quantization_config=nothing,
    )
    module("vllm.model_executor.layers.quantization.modelopt")
    module(
        "vllm.config",
        ModelConfig=ModelConfig,
        VllmConfig=VllmConfig,
        set_current_vllm_config=as_it_is,
        **{
            f"{name}Config": Anything
            for name in ("Scheduler", "Cache", "Parallel", "Device", "Load")
        },
    )


if __name__ == "vllm":
    sys.modules["vllm"].__path__ = []
    install()
