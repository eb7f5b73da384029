"""`inspect` as a user meets it."""

import json
from pathlib import Path

import pytest

from tests.builders import fp8, write_checkpoint
from tests.conftest import (
    DATA,
    FIXTURE_NAMES,
    FIXTURES,
    Call,
    Run,
)

NANO_VL = DATA / "nanovl-mixed"


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_fixture_inspects(name: str, call: Call) -> None:
    done = call("inspect", FIXTURES / name)
    assert done.returncode == 0, done.stderr
    assert "unrecognized" not in done.stdout
    report = json.loads(call("inspect", FIXTURES / name, "--json").stdout)
    declared = {m["quant_algo"] for m in report["metadata"]} - {"MIXED_PRECISION", None}
    shown = {f["stored_format"] for f in report["formats"]} - {"unquantized"}
    if declared:
        assert shown == declared
    assert sum(f["modules"] for f in report["formats"]) > 0


def test_inspect_counts(run: Run) -> None:
    report = json.loads(run("inspect", NANO_VL, "--json").stdout)
    assert report["architectures"] == ["NemotronH_Nano_VL_V2"]
    assert report["language_model_architectures"] == ["NemotronHForCausalLM"]
    assert report["producer"] == "modelopt 0.47.0"
    assert report["kv_scales"] == {"k_scale": 1, "v_scale": 1}
    rows = {f["stored_format"]: f for f in report["formats"]}
    assert (rows["FP8"]["modules"], rows["NVFP4"]["modules"]) == (8, 4)
    # up_proj [96, 64] and down_proj [64, 96], twice; half a byte a value, scales, two scalars
    assert rows["NVFP4"]["parameters"] == 4 * 96 * 64
    assert rows["NVFP4"]["group_size"] == 16
    assert rows["NVFP4"]["nbytes"] == 4 * (96 * 64 // 2 + 96 * 64 // 16 + 8)
    assert rows["FP8"]["stated_in"] == {
        "config.json /quantization_config/quantized_layers": 8,
        "hf_quant_config.json /quantization/quantized_layers": 8,
    }


@pytest.mark.parametrize(
    ("declared", "scales", "message"),
    [
        ("FP8", False, "FP8 (config.json); no scales are stored: vLLM uses 1.0, SGLang uses 1.0"),
        ("FP8", True, "FP8 (config.json); k_scale on 1 module"),
        (None, False, "unquantized"),
    ],
)
def test_inspect_shows_what_replaces_missing_scales_of_the_cache(
    tmp_path: Path, call: Call, declared: str | None, scales: bool, message: str
) -> None:
    tensors = fp8("model.layers.0.self_attn.k_proj")
    if scales:
        tensors["model.layers.0.self_attn.k_proj.k_scale"] = ("F32", ())
    directory = write_checkpoint(
        tmp_path, tensors, {"quant_algo": "FP8", "kv_cache_scheme": declared}
    )
    shown = call("inspect", directory).stdout
    assert (
        next(row for row in shown.splitlines() if row.startswith("KV cache")).split(maxsplit=2)[2]
        == message
    )
