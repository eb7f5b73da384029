"""Weights of fixtures, for tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ckptfix.checkpoint.formats.format import Format
from ckptfix.checkpoint.formats.table import format_named
from ckptfix.verifying.backends.torch_gemm import TorchBackend, scaled_mm_runs_on_cpu
from ckptfix.verifying.stored import StoredWeight
from tests.builders import mixed, write_checkpoint
from tests.conftest import load

needs_scaled_mm_on_cpu = pytest.mark.skipif(
    bool(TorchBackend.missing()) or not scaled_mm_runs_on_cpu(),
    reason=f"torch {torch.__version__} has no scaled_mm for CPUs",
)


def format_row(quant_algo: str) -> Format:
    """The row of the table of stored formats."""
    found = format_named(quant_algo)
    assert found is not None
    return found


def stored_weights(directory: Path) -> Iterator[StoredWeight]:
    """Every quantized module of a fixture with one shard file, read by the safetensors package."""
    checkpoint = load(directory)
    tensors: dict[str, torch.Tensor] = {}
    for file in checkpoint.table.shard_files:
        tensors |= load_file(directory / file)
    declared = next((m.quant_algo for m in checkpoint.metadata if m.quant_algo), None)
    for name, stored in checkpoint.formats.items():
        if not stored.is_quantized:
            continue
        module = checkpoint.modules[name]
        out, columns = stored.logical_shape
        yield StoredWeight(
            name,
            (stored.fit(declared) or stored.fits[0]).format,
            (out, columns),
            {role: tensors[tensor] for role, tensor in module.tensor_names.items()},
        )


BANK = "model.layers.0.feed_forward.experts"


def stacked_bank(directory: Path) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A checkpoint with experts in one FP8 tensor: the weight before, and what is stored."""
    weight = torch.randn(3, 64, 32, generator=torch.Generator().manual_seed(0))
    scales = weight.abs().amax((1, 2)) / 448
    tensors = {
        f"{BANK}.gate_up_proj": (weight / scales[:, None, None]).to(torch.float8_e4m3fn),
        f"{BANK}.gate_up_proj_weight_scale": scales,
        f"{BANK}.gate_up_proj_input_scale": torch.tensor(0.01),
    }
    write_checkpoint(directory, {}, mixed({BANK: "FP8"}), architecture="Llama4ForCausalLM")
    save_file(tensors, directory / "model.safetensors")
    return weight, tensors
