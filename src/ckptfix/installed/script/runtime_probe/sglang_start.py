"""What SGLang's server does before it builds a model: arguments, and the groups of one rank."""

import dataclasses
import importlib
import inspect
import tempfile
from collections.abc import Callable
from typing import Any


def publish(folder: str, backend: str | None) -> Any:
    """The server's arguments where models look for them.

    Without fusion of shared experts, which depends on the GPU and on the kernels: it puts them into
    the bank of the routed ones.
    """
    from sglang.srt.server_args import ServerArgs

    _memory_without_nvidia_smi()
    arguments = ServerArgs(
        model_path=folder,
        tokenizer_path=folder,
        skip_tokenizer_init=True,
        attention_backend=backend,
        dtype="bfloat16",
        device="cuda",
        disable_cuda_graph=True,
        disable_shared_experts_fusion=True,
    )
    try:
        from sglang.srt import runtime_context

        ranks = runtime_context.SpawnRanks
        fields = getattr(ranks, "__struct_fields__", None)
        fields = fields or [field.name for field in dataclasses.fields(ranks)]
    except (ImportError, AttributeError):
        from sglang.srt.server_args import set_global_server_args_for_scheduler

        set_global_server_args_for_scheduler(arguments)
        return arguments
    zeros = dict.fromkeys(fields, 0)
    runtime_context.publish(arguments, role="scheduler", ranks=ranks(**zeros))
    return arguments


def _memory_without_nvidia_smi() -> None:
    """Where nvidia-smi is missing, SGLang before 0.5.10 stops; later releases query torch."""
    from sglang.srt.utils import common

    measure = common.get_nvgpu_memory_capacity

    def measured() -> Any:
        try:
            return measure()
        except RuntimeError:
            import torch

            return torch.cuda.mem_get_info()[1] >> 20

    common.get_nvgpu_memory_capacity = measured


def groups(arguments: Any) -> None:
    """Create the process groups of one rank, and what is set up with them."""
    from sglang.srt.distributed import parallel_state as state
    from sglang.srt.layers.dp_attention import initialize_dp_attention

    with tempfile.NamedTemporaryFile(delete=False) as store:
        state.init_distributed_environment(
            world_size=1,
            rank=0,
            local_rank=0,
            distributed_init_method=f"file://{store.name}",
            backend="gloo",
        )
    state.initialize_model_parallel()
    moe = importlib.import_module("sglang.srt.layers.moe")
    for start in (moe.initialize_moe_config, initialize_dp_attention):
        _call(start, arguments)


def _call(function: Callable[..., Any], arguments: Any) -> None:
    """Call it with those of two parameters that the release gave it."""
    from sglang.srt.configs.model_config import ModelConfig

    made = {
        "server_args": lambda: arguments,
        "model_config": lambda: ModelConfig.from_server_args(arguments),
    }
    taken = inspect.signature(function).parameters
    function(**{name: make() for name, make in made.items() if name in taken})
