"""`vllm_batch.py` of `../shared/oracle/truth`, which stops at Gemma 4 for a stub that it lacks.

Gemma 4's class names its parts for torch.compile, and imports the whole compiler for that, whose
custom operators exist in compiled wheels only. Nothing is compiled here, so that a name has no
effect. The backend of latent attention allocates memory of the GPU when it is imported, which is
the CPU's here, and where none fits the fake GPU, `runtime_probe` stands in for it. Checkpoints in
Mistral's own format may have no config.json, and their weights are in the files that vLLM's loader
chooses. Run with the oracle's Python: LIST OUT.
"""

import contextlib
import importlib
import runpy
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROBE = Path(__file__).resolve().parents[2] / "src" / "ckptfix" / "installed" / "script"
ORACLE = Path(__file__).resolve().parents[3] / "shared" / "oracle"


@contextlib.contextmanager
def set_model_tag(*_: object, **__: object) -> Iterator[None]:
    """In place of vllm/compilation/backends.py `set_model_tag` (vllm 0.33.0)."""
    yield


def with_config(register: Callable[[str], None]) -> Callable[[str], None]:
    """The same, where there is a config.json whose class may be remote code."""

    def registered(folder: str) -> None:
        if Path(folder, "config.json").is_file():
            register(folder)

    return registered


def as_loaded(every: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The tensors of the files that vLLM's loader chooses, where Mistral's are among them."""

    def tensors(folder: str, *how: bool) -> Iterator[Any]:
        if not list(Path(folder).glob("consolidated*.safetensors")):
            yield from every(folder, *how)
            return
        from vllm.config import LoadConfig  # noqa: PLC0415 - of the oracle
        from vllm.model_executor.model_loader import (  # noqa: PLC0415
            default_loader,
            weight_utils,
        )

        loader = default_loader.DefaultModelLoader(LoadConfig())
        _, files, *_ = loader._prepare_weights(folder, None, None, True, None)  # noqa: SLF001
        yield from weight_utils.safetensors_weights_iterator(sorted(files), False)

    return tensors


@contextlib.contextmanager
def memory_of_the_cpu() -> Iterator[None]:
    """`torch.empty` on the GPU allocates on the CPU."""
    import torch  # noqa: PLC0415 - of the oracle

    real = torch.empty

    def empty(*sizes: Any, device: Any = None, **more: Any) -> Any:  # noqa: ANN401 - torch's
        return real(*sizes, device="cpu" if device == "cuda" else device, **more)

    torch.empty = empty
    yield
    torch.empty = real


def main() -> None:
    """Put the stubs in their places, and run the script."""
    sys.path[:0] = [str(ORACLE), str(ORACLE / "truth")]
    import boot  # noqa: PLC0415 - of the oracle

    boot.boot((10, 0))
    stub = types.ModuleType("vllm.compilation.backends")
    stub.__dict__.update(set_model_tag=set_model_tag, VllmBackend=type("VllmBackend", (), {}))
    sys.modules[stub.__name__] = stub
    sys.path.append(str(PROBE))
    from runtime_probe import vllm_boot  # noqa: PLC0415

    vllm_boot._any_attention_backend()  # noqa: SLF001
    with memory_of_the_cpu():
        importlib.import_module("vllm.v1.attention.backends.mla.cutlass_mla")
    import l2common  # noqa: PLC0415 - of the oracle
    import level3  # noqa: PLC0415

    l2common._register_remote_config_shim = with_config(  # noqa: SLF001
        l2common._register_remote_config_shim  # noqa: SLF001
    )
    level3.make_tensors = as_loaded(level3.make_tensors)
    runpy.run_path(str(ORACLE / "truth" / "vllm_batch.py"), run_name="__main__")


if __name__ == "__main__":
    main()
