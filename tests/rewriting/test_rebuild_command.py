"""`rewrite --from-tensors` as a user runs it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import LLAMA_CONFIG, fp8, mixed, whole_llama, write_checkpoint
from tests.conftest import FIXTURES, Call, Run
from tests.rewriting.rebuilding import (
    forget_metadata,
)


def test_the_command_makes_a_checkpoint_without_metadata_servable(
    copy_of: Callable[[str], Path], run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    forget_metadata(directory)
    before = (directory / "config.json").read_bytes()
    assert run("check", directory, "--runtime", "vllm==0.33.0").returncode != 0
    done = run("rewrite", directory, "--from-tensors")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "set from the tensors" in done.stdout
    assert run("check", directory, "--runtime", "vllm>=0.17").returncode == 0
    assert run("rewrite", directory, "--undo").returncode == 0
    assert (directory / "config.json").read_bytes() == before


def test_the_rebuild_is_offered_if_it_has_an_effect(run: Run) -> None:
    done = run("rewrite", FIXTURES / "old-0.23.0-llama-mixed", "--dry-run")
    assert "more can be fixed from the tensors: ckptfix rewrite" in done.stderr
    healthy = run("rewrite", FIXTURES / "llama-nvfp4-svd", "--dry-run")
    assert "more can be fixed from the tensors" not in healthy.stderr


def test_the_patch_of_a_rebuild_makes_the_rebuilt_files(
    copy_of: Callable[[str], Path], run: Run, tmp_path: Path
) -> None:
    name = "old-0.23.0-llama-mixed"
    patched = copy_of(name).rename(tmp_path / "patched")
    written = copy_of(name)
    shown = run("rewrite", patched, "--from-tensors", "--dry-run")
    subprocess.run(["git", "init", "-q"], cwd=patched, check=True)
    subprocess.run(
        ["git", "apply", "-"], cwd=patched, input=shown.stdout, check=True, encoding="utf-8"
    )
    assert run("rewrite", written, "--from-tensors").returncode == 0
    for file in ("config.json", "hf_quant_config.json"):
        assert (patched / file).read_bytes() == (written / file).read_bytes()
    assert run("rewrite", written, "--from-tensors").stdout.startswith(
        f"{written}: nothing to rename"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {
            "quant_method": "modelopt",
            "quant_algo": "NVFP4",
            "group_size": 16,
            "ignore": ["lm_head"],
        },
        {"quant_method": "modelopt", "quant_algo": "FP8"},
        mixed({"model.layers.0.mlp.up_proj": "FP8"}, quant_method="modelopt"),
    ],
    ids=lambda metadata: str(metadata["quant_algo"]),
)
def test_metadata_of_weights_that_are_all_unquantized_again_is_rebuilt(
    metadata: dict[str, object], call: Call, tmp_path: Path
) -> None:
    """Merged with an adapter and stored as BF16, for example; both real loaders take the result."""
    weights = {name: shape for name, (_, shape) in whole_llama().items() if len(shape)}
    tensors = {name: ("BF16", shape) for name, shape in weights.items()}
    directory = write_checkpoint(tmp_path / "m", tensors, metadata, extra_config=LLAMA_CONFIG)
    assert f"rewrite {directory} --from-tensors" in call("check", directory).stdout
    assert call("rewrite", directory, "--from-tensors").returncode == 0
    assert call("check", directory).returncode == 0


@pytest.mark.parametrize("value", ["FP8", 5, [], True])
def test_metadata_that_is_not_an_object_is_rebuilt(value: object, run: Run, tmp_path: Path) -> None:
    extra = {"quantization_config": value}
    directory = write_checkpoint(tmp_path / "m", fp8("model.layers.0.a"), extra_config=extra)
    assert run("rewrite", directory, "--dry-run").returncode == 0
    done = run("rewrite", directory, "--from-tensors")
    assert done.returncode == 0, done.stderr
    made = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert (made["quant_algo"], made["quant_method"]) == ("FP8", "modelopt")
