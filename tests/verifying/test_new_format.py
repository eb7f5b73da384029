"""A new stored format is a row of the table; without a decoder it is named, never a traceback."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ckptfix.checkpoint.formats import table
from ckptfix.checkpoint.formats.format import Codes, Format
from tests.builders import Shapes, safetensors_bytes, write_checkpoint
from tests.conftest import Call

FP6 = Codes("FP6", "F6_E2M3", 6, "float", 7.5, 0.1, 0.01)
UNDECODED = Format("W6A16_MADE_UP", FP6, table.CHANNEL, table.BARE, has_config_group=True)
DECODED = Format("W8A16_GROUPED", table.INT8, table.GROUPS, table.BARE, has_config_group=True)
NAME = "model.layers.0.mlp.down_proj"
TENSORS: Shapes = {
    f"{NAME}.weight": ("F6_E2M3", (32, 64)),
    f"{NAME}.weight_scale": ("F32", (32,)),
}


@pytest.fixture(autouse=True)
def _rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "FORMATS", (*table.FORMATS, UNDECODED, DECODED))


def declared(directory: Path, quant_algo: str | None) -> Path:
    """The made-up tensors, with metadata that calls them so."""
    quantization = {"quant_algo": quant_algo, "quant_method": "modelopt"} if quant_algo else None
    # No release builds this format, so none of a known architecture would take the metadata.
    write_checkpoint(directory, TENSORS, quantization, architecture="NobodyForCausalLM")
    weight_scale = torch.linspace(0.1, 1, 32)
    raw = safetensors_bytes(TENSORS)
    data = 8 + int.from_bytes(raw[:8], "little")
    start, end = json.loads(raw[8:data])[f"{NAME}.weight_scale"]["data_offsets"]
    scales = bytes(weight_scale.view(torch.uint8).tolist())
    (directory / "model.safetensors").write_bytes(raw[: data + start] + scales + raw[data + end :])
    return directory


def findings(call: Call, directory: Path) -> list[object]:
    """What does not depend on a release: none supports the format."""
    shown = call("check", directory, "--ignore", "CKF7", "--json").stdout
    found: list[object] = json.loads(shown)["checkpoints"][0]["findings"]
    return found


def test_inspect_and_check_take_it_from_the_row(call: Call, tmp_path: Path) -> None:
    directory = declared(tmp_path, UNDECODED.quant_algo)
    (row,) = json.loads(call("inspect", directory, "--json").stdout)["formats"]
    assert (row["stored_format"], row["parameters"]) == ("W6A16_MADE_UP", 32 * 64)
    assert findings(call, directory) == []
    found = call("check", declared(tmp_path, "FP8"), "--select", "CKF303")
    assert "is declared as FP8 but stored as W6A16_MADE_UP" in found.stdout


def test_a_rebuild_declares_it_with_its_config_group(call: Call, tmp_path: Path) -> None:
    directory = declared(tmp_path, None)
    assert call("rewrite", directory, "--from-tensors").returncode == 0
    made = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert made["quant_algo"] == "W6A16_MADE_UP"
    weights = {"dynamic": False, "num_bits": 6, "type": "float"}
    assert made["config_groups"] == {"group_0": {"weights": weights, "targets": ["Linear"]}}
    assert findings(call, directory) == []


@pytest.mark.parametrize("more", [(), ("--json",), ("--all",)])
def test_verify_names_what_it_cannot_decode(
    more: tuple[str, ...], call: Call, tmp_path: Path
) -> None:
    directory = declared(tmp_path, UNDECODED.quant_algo)
    done = call("verify", directory, "--device", "cpu", *more)
    assert done.returncode == 2, done.stdout + done.stderr
    why = "ckptfix has no decoder for W6A16_MADE_UP (FP6 weights)"
    if "--json" in more:
        (gemm,) = json.loads(done.stdout)["gemms"]
        assert (gemm["how"], gemm["reason"]) == ("measured", why)
    else:
        assert f"not run, 1 module: {why}" in done.stdout
        assert "1 not run because ckptfix has no decoder" in done.stdout
        assert "--all runs their GEMMs" not in done.stdout


def test_verify_runs_a_row_that_is_made_of_known_parts(call: Call, tmp_path: Path) -> None:
    quantization = {"quant_algo": "W8A16_GROUPED", "quant_method": "modelopt"}
    write_checkpoint(tmp_path, TENSORS, quantization)
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    scale = weight.abs().reshape(32, 4, 16).amax(-1) / 127
    codes = (weight.reshape(32, 4, 16) / scale[..., None]).round().to(torch.int8)
    save_file(
        {f"{NAME}.weight": codes.reshape(32, 64), f"{NAME}.weight_scale": scale},
        tmp_path / "model.safetensors",
    )
    done = call("verify", tmp_path, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (gemm,) = json.loads(done.stdout)["gemms"]
    assert (gemm["how"], gemm["quant_algo"]) == ("emulated", "W8A16_GROUPED")
    assert gemm["reason"] == "torch has no GEMM for INT8 weights with BF16 input"
