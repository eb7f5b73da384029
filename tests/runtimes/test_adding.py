"""What is to be touched where a runtime or a release is added: tried on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ckptfix
from tests.builders import fp8, mixed, whole_llama, write_checkpoint

MADE_UP = Path(__file__).parent / "made_up"
LAYER = "model.layers.0.mlp.down_proj"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to add something to."""
    return Path(shutil.copytree(Path(ckptfix.__file__).parent, tmp_path / "src" / "ckptfix"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    quantized = {name: "FP8" for name in whole_llama() if name.endswith("_proj.weight")}
    layers = {name.removesuffix(".weight"): algo for name, algo in quantized.items()}
    return write_checkpoint(
        tmp_path / "llama", whole_llama(), mixed(layers, quant_method="modelopt")
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
    with_another = run(
        package, "check", checkpoint, "--runtime", "made_up", "--runtime", "vllm>=0.17"
    )
    assert with_another.returncode == 0, with_another.stdout


def add_release(package: Path, architectures: dict[str, object] | None = None) -> None:
    """A profile of vLLM 9.0, which registers what 0.33.0 does and these architectures."""
    profile = {"runtime": "vllm", "version": "9.0", "source": "a wheel", "base": "0.33.0"}
    text = json.dumps(profile | {"changed": architectures or {}})
    (package / "runtimes" / "vllm" / "profiles" / "9.0.json").write_text(text)


ANSWERS = """
import json, sys, ckptfix
checkpoint, *runtimes = sys.argv[1:]
found = ckptfix.check(checkpoint, runtimes=runtimes).runtimes
print(json.dumps({r.version: [r.loads, " ".join(map(str, r.reasons))] for r in found}))
"""


def answers(package: Path, checkpoint: Path, *releases: str) -> dict[str, list[str]]:
    """Version -> whether it loads, and why not."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", ANSWERS, checkpoint, *(f"vllm=={r}" for r in releases)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_a_release_that_changed_nothing_is_a_profile(package: Path, checkpoint: Path) -> None:
    add_release(package)
    newest = run(package, "check", checkpoint, "--runtime", "vllm>=9", "--format", "json")
    before = run(package, "check", checkpoint, "--runtime", "vllm==0.33.0", "--format", "json")
    assert '"9.0"' in newest.stdout
    assert newest.stdout.replace('"9.0"', '"0.33.0"') == before.stdout


def add_row(package: Path, row: str) -> None:
    with (package / "runtimes" / "vllm" / "releases.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{row}\n")


def test_a_release_that_looks_names_up_in_a_new_way_is_a_row_and_a_profile(
    package: Path, checkpoint: Path
) -> None:
    add_release(package)
    add_row(
        package,
        'LOOKUP = (*LOOKUP, replace(LOOKUP[-1], since="9.0", dispatched=frozenset({"NVFP4"})))',
    )
    found = answers(package, checkpoint, "0.33.0", "9.0")
    assert found["0.33.0"] == ["yes", ""]
    assert found["9.0"][0] == "no"
    assert "does not support FP8 with MIXED_PRECISION" in found["9.0"][1]


def test_a_release_that_reads_metadata_in_a_new_way_is_a_row_and_a_profile(
    package: Path, tmp_path: Path
) -> None:
    add_release(package)
    add_row(
        package,
        'READING = (*READING, replace(READING[-1], since="9.0", uniform=frozenset({"NVFP4"})))',
    )
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    checkpoint = write_checkpoint(tmp_path / "fp8", whole_llama(), quantization)
    found = answers(package, checkpoint, "0.33.0", "9.0")
    assert found["0.33.0"] == ["yes", ""]
    assert found["9.0"] == ["no", "stops: FP8 for the whole checkpoint is not supported"]


FAMILY = """
description = "An architecture that nobody has"

[[families]]
runtime = "vllm"
architectures = ["NeverSeenForCausalLM"]
source = "a test"
reason = "a test"
[families.places]
reason = "it was not learned"
packed = { gate_up_proj = ["gate_proj", "up_proj"] }
rules = [{ kind = "prefix", old = "trunk", new = "model" }]
"""


def test_an_architecture_is_an_entry_in_families(package: Path, tmp_path: Path) -> None:
    add_release(
        package, {"NeverSeenForCausalLM": {"class-name": "NeverSeen", "file": "never_seen.py"}}
    )
    module = "trunk.layers.0.mlp.down_proj"
    checkpoint = write_checkpoint(
        tmp_path / "new",
        fp8(module),
        mixed({module: "FP8"}, quant_method="modelopt"),
        architecture="NeverSeenForCausalLM",
    )
    loads, _ = answers(package, checkpoint, "9.0")["9.0"]
    assert loads == "unknown"
    (package / "runtimes" / "families" / "never_seen.toml").write_text(FAMILY)
    loads, reason = answers(package, checkpoint, "9.0")["9.0"]
    assert loads == "no"
    assert "model.layers.0.mlp.down_proj" in reason
