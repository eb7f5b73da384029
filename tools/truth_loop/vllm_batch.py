"""`vllm_batch.py` of `../shared/oracle/truth`, which stops at Gemma 4 for a stub that it lacks.

Gemma 4's class names its parts for torch.compile, and imports the whole compiler for that, whose
custom operators exist in compiled wheels only. Nothing is compiled here, so that a name has no
effect. Run with the oracle's Python: LIST OUT.
"""

import contextlib
import runpy
import sys
import types
from collections.abc import Iterator
from pathlib import Path

ORACLE = Path(__file__).resolve().parents[3] / "shared" / "oracle"


@contextlib.contextmanager
def set_model_tag(*_: object, **__: object) -> Iterator[None]:
    """In place of vllm/compilation/backends.py `set_model_tag` (vllm 0.33.0)."""
    yield


def main() -> None:
    """Put the stub in its place, and run the script."""
    sys.path[:0] = [str(ORACLE), str(ORACLE / "truth")]
    import boot  # noqa: PLC0415 - of the oracle

    boot.boot((10, 0))
    stub = types.ModuleType("vllm.compilation.backends")
    stub.__dict__.update(set_model_tag=set_model_tag, VllmBackend=type("VllmBackend", (), {}))
    sys.modules[stub.__name__] = stub
    runpy.run_path(str(ORACLE / "truth" / "vllm_batch.py"), run_name="__main__")


if __name__ == "__main__":
    main()
