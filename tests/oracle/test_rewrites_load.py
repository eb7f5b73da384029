"""The real vLLM 0.33.0 loader judges a rewrite: `make oracle` (minutes)."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED, Run

pytestmark = pytest.mark.oracle

HOME = Path(os.environ.get("ORACLE_HOME", Path.home() / ".cache" / "ckptfix-oracle"))
LEVEL_3 = SHARED / "oracle" / "level3.py"
NO_MAPPER = ("--no-mapper", "NemotronH_Nano_VL_V2")
"""vLLM before PR 39901."""


@pytest.fixture(autouse=True)
def _oracle() -> None:
    if not (HOME / "venv" / "bin" / "python").exists() or not LEVEL_3.exists():
        pytest.skip("the oracle is not set up: make oracle")


def load(directory: Path, *options: str) -> dict[str, Any]:
    report = directory.parent / "report.json"
    subprocess.run(
        [HOME / "venv" / "bin" / "python", LEVEL_3, directory, *options, "--json", report],
        check=True,
        capture_output=True,
    )
    loaded: dict[str, Any] = json.loads(report.read_text())
    return loaded


def errors(report: dict[str, Any]) -> set[str]:
    return {str(row["tensor"]) for row in report["per_tensor"] if row["error"]}


def methods(report: dict[str, Any]) -> dict[str, str | None]:
    return {row["prefix"]: row["quant_method"] for row in report["modules"]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nanovl-mixed", ()),
        ("nanovl-mixed-sharded-split", ()),
        ("nanoomni-mixed-naive", ()),
        ("nanovl-mixed", ("--runtime", "vllm", "--runtime", "sglang")),
        ("nanovl-mixed", ("--runtime", "vllm", "--runtime", "sglang", "--strategy", "alias")),
    ],
)
def test_a_rewritten_checkpoint_loads_without_and_with_the_runtimes_mapper(
    name: str, options: tuple[str, ...], copy_of: Callable[[str], Path], run: Run
) -> None:
    directory = copy_of(name)
    # What fails with the mapper is caused by the tensors, whatever the metadata says.
    wanted = load(directory)
    assert errors(load(directory, *NO_MAPPER)) > errors(wanted)
    assert run("rewrite", directory, *options).returncode == 0
    for mapper in (NO_MAPPER, ()):
        after = load(directory, *mapper)
        assert errors(after) == errors(wanted)
        assert methods(after) == methods(wanted)
        assert after["single_pass"] == wanted["single_pass"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ct-qwen3vl-nvfp4a16", ()),
        ("ar-qwen25vl-w4a16-visual", ()),
        ("ar-llama-w4a16-g32-lmhead", ("--from-tensors",)),
        ("ct-llama-lmhead-fp8", ("--from-tensors",)),
        ("qk-qwen3moe-mxfp4", ("--from-tensors",)),
        ("qk-qwen3moe-fp8-mixed", ("--from-tensors",)),
    ],
)
def test_exports_of_other_quantizers_load_after_a_rewrite_that_is_announced(
    name: str, options: tuple[str, ...], tmp_path: Path, run: Run
) -> None:
    export, done = SHARED / "quantizers" / "fixtures" / name, tmp_path / "done"
    rewritten = run("rewrite", export, "--runtime", "vllm==0.33.0", *options, "--output", done)
    assert rewritten.returncode == 0, rewritten.stderr
    before = subprocess.run(
        [HOME / "venv" / "bin" / "python", LEVEL_3, export, "--json", tmp_path / "before.json"],
        check=False,
        capture_output=True,
    )
    saved = tmp_path / "before.json"
    is_loaded = before.returncode == 0 and not errors(json.loads(saved.read_text()))
    report = load(done)
    assert not is_loaded
    assert report["single_pass"]["ok"], report["single_pass"]
    assert errors(report) == set()
