"""Exports of other quantizers decode to the weights that they were made from."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from ckptfix.checkpoint.formats.table import format_named
from ckptfix.operations.loading import load
from ckptfix.rules.reading import Declarations
from ckptfix.runtimes.name_maps import builtin_name_map
from ckptfix.runtimes.naming import Naming
from ckptfix.verifying.dequantize.registry import dequantize
from ckptfix.verifying.dequantize.unpacked import unpacked
from ckptfix.verifying.stored import StoredWeight
from tests.conftest import DATA, SHARED, Call

COPIES = DATA / "quantizers"
EXPORTS = SHARED / "quantizers" / "fixtures"
LLAMA = "model.layers.0.self_attn.q_proj"


def tensors_of(directory: Path, module: str) -> dict[str, Tensor]:
    """Last part of the name -> tensor, E8M0 as bytes."""
    found = {}
    for path in directory.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                if name.rpartition(".")[0] == module:
                    tensor = file.get_tensor(name)
                    is_e8m0 = tensor.dtype == torch.float8_e8m0fnu
                    last = name.rpartition(".")[2]
                    found[last] = tensor.view(torch.uint8) if is_e8m0 else tensor
    return found


def weight(directory: Path, module: str) -> Tensor:
    """The weight that a module means, F32 `[out, in]`."""
    checkpoint = load(str(directory))
    stored, tensors = checkpoint.formats[module], tensors_of(directory, module)
    if not stored.is_quantized:
        return tensors["weight"].float()
    labels = Declarations(checkpoint, Naming(checkpoint, builtin_name_map(checkpoint))).labels
    declared = labels[module]
    fit = stored.fit(declared)
    assert fit is not None
    assert format_named(declared) is not None
    out, columns = fit.logical_shape[-2:]
    return dequantize(unpacked(StoredWeight(module, fit.format, (out, columns), tensors)))


def similarity(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_two_quantizers_decode_to_one_model() -> None:
    """AutoRound wrote the same model in the layouts of GPTQ and of AWQ."""
    module = "model.layers.0.mlp.down_proj"
    names = ("ar-qwen25vl-w4a16", "ar-qwen25vl-awqfmt")
    gptq, awq = (weight(COPIES / name, module) for name in names)
    assert similarity(gptq, awq) > 0.97
    mixed = gptq.reshape(-1, 8).flip(1).reshape(gptq.shape)
    assert similarity(mixed, awq) < 0.5


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="the exports lie in ../shared")
@pytest.mark.parametrize(
    ("export", "atol"),
    [
        ("ct-llama-w4a16", 0.98),
        ("ct-llama-w8a16", 0.998),
        ("ct-llama-fp8", 0.99),
        ("ct-llama-lmhead-fp8", 0.99),
        ("ct-llama-fp8-block", 0.99),
        ("ct-llama-nvfp4a16", 0.98),
        ("ar-llama-mxfp4-llmc", 0.98),
        ("ar-llama-w4a16", 0.98),
        ("ar-llama-mixed-regex", 0.98),
        ("ar-llama-asym-awq", 0.98),
        ("gq-llama-awq", 0.98),
        ("fp8-llama-block-tied", 0.99),
        ("qk-llama-int8", 0.99),
        ("qk-llama-ptpc-fp8", 0.99),
        ("qk-llama-int4wo", 0.98),
        ("bnb-llama-int8", 0.999),
    ],
)
def test_an_export_decodes_to_its_source(export: str, atol: float) -> None:
    """All were made from one model, of which another export kept its layers unquantized."""
    source = weight(EXPORTS / "ct-llama-attn-fp8", LLAMA)
    assert similarity(weight(EXPORTS / export, LLAMA), source) > atol


@pytest.mark.parametrize("order", [(0, 2, 4, 6, 1, 3, 5, 7), range(8)])
@pytest.mark.parametrize("is_signed", [True, False])
def test_the_order_of_quarks_nibbles_is_seen_in_the_tensors(
    order: Sequence[int], *, is_signed: bool
) -> None:
    """Packed here as Quark packs them, by either `pack_method`."""
    source = torch.randn(64, 128, generator=torch.Generator().manual_seed(1)) * 0.02
    groups = source.reshape(64, 2, 64)
    scale = groups.abs().amax(-1) / 7
    signed = (groups / scale[:, :, None]).round().reshape(64, 128).int().T
    codes, zero = (signed & 0xF, 0) if is_signed else (signed + 8, 0x88888888 - (1 << 32))
    packed = torch.zeros(128, 8, dtype=torch.int32)
    for nibble, column in enumerate(order):
        packed |= codes[:, column::8] << (4 * nibble)
    row = format_named("QUARK_INT4")
    assert row is not None
    tensors = {
        "weight": packed,
        "weight_scale": scale.T.contiguous(),
        "weight_zero_point": torch.full((2, 8), zero, dtype=torch.int32),
    }
    decoded = dequantize(unpacked(StoredWeight("m", row, (64, 128), tensors)))
    assert similarity(decoded, source) > 0.99


@pytest.mark.parametrize(
    "export",
    ["ar-qwen25vl-w4a16", "ar-qwen25vl-awqfmt", "ct-qwen3moe-mixed", "qk-qwen3moe-mxfp4"],
)
def test_verify_runs_the_gemms_of_an_export(export: str, call: Call) -> None:
    done = call("verify", COPIES / export, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    gemms = json.loads(done.stdout)["gemms"]
    assert {gemm["how"] for gemm in gemms} <= {"native", "emulated", "measured"}
    assert any(gemm["how"] == "emulated" for gemm in gemms)


def test_verify_reports_what_only_the_metadata_explains(call: Call) -> None:
    """Blocks of 64 x 64 have no decoder; a scale that nothing was written to is found."""
    done = call("verify", COPIES / "fp8-qwen3vl-block-w64", "--device", "cpu", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    gemms = {gemm["name"]: gemm for gemm in json.loads(done.stdout)["gemms"]}
    down = gemms["language_model.model.layers.0.mlp.down_proj"]
    assert down["how"] == "measured"
    assert "blocks of another size than 128 x 128" in down["reason"]
    assert gemms["visual.blocks.0.attn.proj"]["how"] == "failed"
