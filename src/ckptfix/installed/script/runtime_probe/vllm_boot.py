"""Importing vLLM's Python on a machine without a GPU and without its compiled code.

Stand-ins for the environment only: platform, compiled modules, flash attention, triton, torch.ops.
"""

import contextlib
import importlib
import sys
import types
from typing import Any, Final

from runtime_probe import gpu, stand_ins

_COMPILED: Final = (
    "vllm._C",
    "vllm._moe_C",
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm._qutlass_C",
)
_ABSENT: Final = (
    *("triton", "tilelang", "cutlass", "quack", "open_clip", "terratorch", "resampy", "librosa"),
    *("cuda", "triton_kernels", "decord", "av", "deep_gemm"),
)
_AT_THEIR_TOP: Final = {
    "flashinfer": "vllm.model_executor.layers.fused_moe.experts.trtllm_nvfp4_moe",
    "humming": "vllm.model_executor.layers.quantization.humming",
}
"""Package that may be absent -> a module that imports it at its top (vLLM 0.17.0 to 0.19.1, and
0.20.0 to 0.23.0, where every quantization config is imported after it)."""
_COMPILED_NAMES: Final = r"^vllm\._(\w+_)?C$|^vllm\.third_party\.deep_gemm(\.|$)"


def boot() -> None:
    """Make `import vllm` work, as far as its release has what is replaced here."""
    gpu.import_torch_whole()
    gpu.declare_torchvision()
    _ask_transformers()
    sys.meta_path.append(stand_ins.StandIns(["torchaudio", "gguf"]))
    for name in _COMPILED:
        sys.modules[name] = types.ModuleType(name)
    _platform()
    _operators()
    _flash_attention()
    from vllm import triton_utils

    if not getattr(triton_utils, "HAS_TRITON", False):
        triton_utils.triton.Config = _Config
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda function: function()
    _no_pauses()


def stand_in_for_kernels() -> None:
    """After the first imports: replace what only runs on a GPU, and the choice of a kernel."""
    gpu.fake_gpu()
    sys.meta_path.append(stand_ins.StandIns(_ABSENT, _COMPILED_NAMES))
    claim_deep_gemm()
    _kernels()
    stand_ins.missing_ops()
    _any_attention_backend()


def _no_pauses() -> None:
    """A folder without weights is not asked again after two seconds, as a server would be."""
    try:
        from vllm.transformers_utils import repo_utils
    except ImportError:
        return  # not in every release: it only waits for longer there
    if hasattr(repo_utils, "time"):
        pauses: Any = types.SimpleNamespace(sleep=lambda _: None)
        repo_utils.time = pauses


class _Config:
    """triton.Config, of which vLLM's placeholder has none."""

    def __init__(
        self, kwargs: Any = None, num_warps: int = 4, num_stages: int = 1, **_: Any
    ) -> None:
        self.kwargs, self.num_warps, self.num_stages = kwargs or {}, num_warps, num_stages


def _ask_transformers() -> None:
    """It must find out what is installed before anything shadows it."""
    import transformers.utils.import_utils as utils

    for name in ("is_torchvision_available", "is_torchaudio_available"):
        try:
            getattr(utils, name)()
        except Exception:  # not in this release
            continue


def _platform() -> None:
    import vllm.platforms
    from vllm.platforms.cuda import NonNvmlCudaPlatform
    from vllm.platforms.interface import DeviceCapability

    class FakeCuda(NonNvmlCudaPlatform):
        device_type = "cpu"
        dist_backend = "gloo"

        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> Any:
            return DeviceCapability(*gpu.CAPABILITY)

        @classmethod
        def get_device_name(cls, device_id: int = 0) -> str:
            return gpu.Properties.name

        @classmethod
        def get_device_total_memory(cls, device_id: int = 0) -> int:
            return gpu.Properties.total_memory

        @classmethod
        def is_cuda(cls) -> bool:
            return True

        @classmethod
        def num_compute_units(cls, device_id: int = 0) -> int:
            return gpu.Properties.multi_processor_count

        @classmethod
        def get_device_communicator_cls(cls) -> str:
            package = "vllm.distributed.device_communicators"
            return f"{package}.base_device_communicator.DeviceCommunicatorBase"

        @classmethod
        def set_device(cls, device: Any) -> None: ...

        @classmethod
        def check_and_update_config(cls, vllm_config: Any) -> None: ...

    vllm.platforms._current_platform = FakeCuda()
    import torch

    setattr(torch.cuda, "get_device_properties", lambda *_, **__: gpu.Properties)  # noqa: B010
    setattr(torch.cuda, "get_device_capability", lambda *_, **__: gpu.CAPABILITY)  # noqa: B010
    setattr(torch.cuda, "get_device_name", lambda *_, **__: gpu.Properties.name)  # noqa: B010


def _operators() -> None:
    """Whether an operator supports a capability is always answered with yes."""
    import vllm._custom_ops as operators

    for name in [n for n in dir(operators) if "supported" in n or "_supports_" in n]:
        setattr(operators, name, lambda *_, **__: True)


def _flash_attention() -> None:
    names = ("vllm.vllm_flash_attn", "vllm.vllm_flash_attn.flash_attn_interface")
    for name in names:
        module: Any = stand_ins.BlobModule(name)
        module.__path__ = []
        module.fa_version_unsupported_reason = lambda *_, **__: None
        module.is_fa_version_supported = lambda *_, **__: True
        sys.modules[name] = module


def claim_deep_gemm() -> None:
    """Modules that look for it find it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("vllm.") and "has_deep_gemm" in getattr(module, "__dict__", {}):
            module.has_deep_gemm = lambda: True  # type: ignore[attr-defined]


class _Kernel:
    """A kernel that prepares nothing and never runs: the choice affects no parameter."""

    supports_pre_processed_weights = False
    input_quant_key = None

    def process_weights_after_loading(self, layer: Any) -> None: ...

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _kernels() -> None:
    import vllm.distributed.parallel_state
    import vllm.model_executor.model_loader.default_loader
    import vllm.model_executor.model_loader.utils
    import vllm.utils.import_utils  # noqa: F401 - all of them before torch.ops is replaced
    from vllm.model_executor.layers.quantization import modelopt

    if hasattr(modelopt, "select_linear_kernel"):
        modelopt.select_linear_kernel = lambda *_, **__: _Kernel()
        modelopt.expose_input_quant_key = lambda *_, **__: None
    from vllm.model_executor.layers.quantization import get_quantization_config

    for package, module in _AT_THEIR_TOP.items():
        with stand_ins.for_a_while([package]), contextlib.suppress(ImportError):
            importlib.import_module(module)
    for method in ("modelopt", "fp8", "quark", "gguf"):
        try:
            get_quantization_config(method)
        except Exception as error:
            print(f"{method} does not import: {error}", file=sys.stderr)


def _any_attention_backend() -> None:
    """If no backend fits the fake GPU, one that can be imported: the choice affects no module."""
    import vllm.platforms

    platform = type(vllm.platforms._current_platform)
    choose = platform.get_attn_backend_cls.__func__
    backends = "vllm.v1.attention.backends"

    def get_attn_backend_cls(cls: Any, *args: Any, **more: Any) -> Any:
        try:
            return choose(cls, *args, **more)
        except ValueError:
            given = [*args, *more.values()]
            selected = next((x for x in given if hasattr(x, "use_mla")), None)
            if selected is None or not selected.use_mla:
                return f"{backends}.flash_attn.FlashAttentionBackend"
            if selected.use_sparse:
                return f"{backends}.mla.flashmla_sparse.FlashMLASparseBackend"
            return f"{backends}.mla.triton_mla.TritonMLABackend"

    platform.get_attn_backend_cls = classmethod(get_attn_backend_cls)
    if not hasattr(platform, "get_mla_prefill_backend_cls"):
        return
    prefill = platform.get_mla_prefill_backend_cls.__func__

    def get_mla_prefill_backend_cls(cls: Any, selected: Any) -> Any:
        try:
            return prefill(cls, selected)
        except ValueError:
            from vllm.v1.attention.backends.mla.prefill.base import MLAPrefillBackend

            body = {
                "__init__": lambda *_, **__: None,
                "get_name": staticmethod(lambda: "ANY"),
            }
            stand_in: Any = type("AnyPrefill", (MLAPrefillBackend,), body)
            stand_in.__abstractmethods__ = frozenset()
            return stand_in

    platform.get_mla_prefill_backend_cls = classmethod(get_mla_prefill_backend_cls)
