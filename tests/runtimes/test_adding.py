"""What is to be touched where a runtime or a release is added: tried on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ckptfix
from tests.builders import bf16, fp8, mixed, write_checkpoint

MADE_UP = Path(__file__).parent / "made_up"
LAYER = "model.layers.0.mlp.down_proj"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to add something to."""
    return Path(shutil.copytree(Path(ckptfix.__file__).parent, tmp_path / "src" / "ckptfix"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tensors = {**fp8(LAYER), **bf16("model.layers.0.mlp.up_proj")}
    return write_checkpoint(
        tmp_path / "llama", tensors, mixed({LAYER: "FP8"}, quant_method="modelopt")
    )


def run(package: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "ckptfix", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )


def test_a_runtime_is_a_folder_and_its_entries_in_families(package: Path, checkpoint: Path) -> None:
    shutil.copytree(MADE_UP, package / "runtimes" / "made_up")
    shutil.copy(MADE_UP / "family.toml", package / "runtimes" / "families" / "made_up.toml")

    listed = json.loads(run(package, "runtimes", "--json").stdout)
    assert [row["runtime"] for row in listed][-1] == "made_up"
    assert "made_up 1.0" in run(package, "runtimes", "LlamaForCausalLM").stdout

    checked = run(package, "check", checkpoint, "--runtime", "made_up")
    assert checked.returncode == 1
    assert "made_up 1.0" in checked.stdout
    assert f"decoder{LAYER.removeprefix('model')}" in checked.stdout

    resolved = run(package, "resolve", checkpoint, "*down_proj", "--runtime", "made_up==1.0")
    assert "decoder.layers.0.mlp.down_proj" in resolved.stdout

    planned = run(package, "rewrite", checkpoint, "--dry-run", "--runtime", "made_up")
    assert '+      "decoder.layers.0.mlp.down_proj"' in planned.stdout
    assert run(package, "rewrite", checkpoint, "--runtime", "made_up").returncode == 0
    again = run(package, "check", checkpoint, "--runtime", "made_up")
    assert again.returncode == 0, again.stdout
    assert f"made-up --weights {checkpoint}" in again.stdout
    with_another = run(package, "check", checkpoint, "--runtime", "made_up", "--runtime", "vllm")
    assert with_another.returncode == 0, with_another.stdout


def test_a_release_that_changed_nothing_is_a_profile(package: Path, checkpoint: Path) -> None:
    (package / "runtimes" / "vllm" / "profiles" / "9.0.json").write_text(
        json.dumps({"runtime": "vllm", "version": "9.0", "source": "a wheel", "base": "0.33.0"})
    )
    newest = run(package, "check", checkpoint, "--runtime", "vllm>=9", "--format", "json")
    before = run(package, "check", checkpoint, "--runtime", "vllm==0.33.0", "--format", "json")
    assert '"9.0"' in newest.stdout
    assert newest.stdout.replace('"9.0"', '"0.33.0"') == before.stdout
