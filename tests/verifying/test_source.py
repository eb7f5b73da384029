"""`verify --source`: what was compared, what was not, and why."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import DATA, Call, CopyOf
from tests.verifying.modules import BANK, stacked_bank
from tests.verifying.reports import report

ROOT = Path(__file__).parents[2]
UNQUANTIZED = DATA / "llama-kv8-only"


def source_of(copy_of: CopyOf, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """The unquantized checkpoint with other tensors."""
    directory = copy_of("llama-kv8-only")
    shard = directory / "model.safetensors"
    tensors = load_file(shard)
    change(tensors)
    save_file(tensors, shard)
    return directory


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("llama-fp8-kv8", "nanovl-mixed", "the source has no weight with this name"),
        ("llama-fp8-kv8", "llama-fp8-kv8", "it is quantized in the source too, as F8_E4M3"),
        ("qwen3vlmoe-nvfp4", "llama-kv8-only", "the source has no weight with this name"),
    ],
)
def test_a_source_with_nothing_to_compare_is_an_error(
    call: Call, name: str, source: str, reason: str
) -> None:
    done = call("verify", DATA / name, "--device", "cpu", "--source", DATA / source)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: --source {DATA / source}: cannot be compared with any of"
    )
    assert f"quantized modules: {reason}; use the unquantized checkpoint that" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_source_in_other_shapes_is_an_error(call: Call, copy_of: CopyOf) -> None:
    def cut(tensors: dict[str, torch.Tensor]) -> None:
        tensors |= {n: t[:-1].clone() for n, t in tensors.items() if t.dim() == 2}

    source = source_of(copy_of, cut)
    done = call("verify", DATA / "llama-fp8-kv8", "--device", "cpu", "--source", source)
    assert done.returncode == 2
    assert "with any of the 14 quantized modules: its shape differs in the source" in done.stderr


def test_only_the_modules_that_are_looked_at_count(call: Call, copy_of: CopyOf) -> None:
    module = "model.layers.1.mlp.down_proj"
    source = source_of(copy_of, lambda tensors: tensors.pop(f"{module}.weight"))
    options = ("verify", DATA / "llama-fp8-kv8", "--device", "cpu", "--source", source)
    done = call(*options, "--modules", module)
    assert done.returncode == 2
    assert "cannot be compared with any of the 1 quantized module: the source has no" in done.stderr
    assert call(*options, "--modules", "*.down_proj").returncode == 0


def test_a_checkpoint_with_nothing_to_compare_is_an_error(call: Call) -> None:
    done = call("verify", UNQUANTIZED, "--device", "cpu", "--source", UNQUANTIZED)
    assert done.returncode == 2
    assert "cannot be compared; the checkpoint has no quantized weight" in done.stderr


def test_what_has_no_counterpart_is_counted_and_named(call: Call, copy_of: CopyOf) -> None:
    module = "model.layers.1.mlp.down_proj"
    source = source_of(copy_of, lambda tensors: tensors.pop(f"{module}.weight"))
    made = report(call, DATA / "llama-fp8-kv8", "--source", source)
    assert made["compared_with_source"] == 13
    assert made["not_compared_with_source"] == {module: "the source has no weight with this name"}
    options = ("verify", DATA / "llama-fp8-kv8", "--device", "cpu", "--source", source)
    shown = call(*options).stdout
    assert "; 13 modules compared with the source, 1 not; " in shown
    why = "not compared with the source, 1 module: the source has no weight with this name\n"
    assert why in shown
    assert f"{why}  {module}\n" in call(*options, "--verbose").stdout


def test_folded_scales_are_a_reason(call: Call) -> None:
    made = report(call, DATA / "llama-nvfp4-awq", "--source", UNQUANTIZED)
    assert made["compared_with_source"] == 2
    reasons = set(made["not_compared_with_source"].values())
    assert reasons == {"a scale that is not stored was folded into it"}


def test_without_a_source_it_is_not_mentioned(call: Call) -> None:
    done = call("verify", DATA / "llama-fp8-kv8", "--device", "cpu")
    assert done.returncode == 0
    assert "source" not in done.stdout


def test_experts_in_one_tensor_are_not_compared(call: Call, tmp_path: Path) -> None:
    directory = tmp_path / "c"
    weight, _ = stacked_bank(directory)
    source = shutil.copytree(directory, tmp_path / "source")
    save_file({f"{BANK}.gate_up_proj": weight}, source / "model.safetensors")
    done = call("verify", directory, "--device", "cpu", "--source", source)
    assert done.returncode == 2
    assert "experts in one tensor are not compared" in done.stderr


def test_a_report_that_cannot_be_printed() -> None:
    command = [sys.executable, "-m", "ckptfix", "verify", str(DATA / "llama-fp8-kv8")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--device", "cpu"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
    assert done.returncode == 2
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"
