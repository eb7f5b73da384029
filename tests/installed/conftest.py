"""A Python that has the stand-in for vLLM."""

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What goes into PYTHONPATH."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("stand-in")
    text = (HERE / "stand_in_vllm.py").read_text("utf-8").replace("tests.installed.", "vllm.")
    for package in ("vllm", "transformers"):
        (folder / package).mkdir()
    (folder / "vllm" / "__init__.py").write_text(text, "utf-8")
    shutil.copy(HERE / "stand_in_mistral.py", folder / "vllm")
    (folder / "transformers" / "__init__.py").write_text("import vllm\n", "utf-8")
    metadata = folder / "vllm-0.33.1.dev7.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: vllm\nVersion: 0.33.1.dev7\n", "utf-8")
    return str(folder)


@pytest.fixture
def spec(stand_in: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`--runtime` for the stand-in."""
    monkeypatch.setenv("PYTHONPATH", stand_in)
    return f"vllm@{sys.executable}"
