"""Every command says the same of what the metadata declares for a module."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.cases.packed import unpack
from tests.conftest import Call, check


def formats(call: Call, directory: Path) -> dict[str, dict[str, Any]]:
    """Stored format -> its row in `inspect`."""
    made = json.loads(call("inspect", directory, "--json").stdout)
    return {row["stored_format"]: row for row in made["formats"]}


def test_inspect_does_not_count_an_excluded_head_as_declared(call: Call, tmp_path: Path) -> None:
    tensors = {**fp8("model.a"), **fp8("lm_head"), **bf16("model.norm", 8)}
    write_checkpoint(tmp_path, tensors, {"quant_algo": "FP8", "ignore": ["lm_head"]})
    (finding,) = check(tmp_path)
    assert (finding.code, finding.subject) == ("CKF205", "lm_head")
    assert formats(call, tmp_path)["FP8"] | {"parameters": 0, "nbytes": 0, "codes": None} == {
        "stored_format": "FP8",
        "group_size": 0,
        "modules": 2,
        "parameters": 0,
        "nbytes": 0,
        "codes": None,
        "quantizer": "",
        "stated_in": {"config.json /quantization_config/quant_algo": 1},
    }


def test_inspect_does_not_count_an_excluded_entry_as_declared(call: Call, tmp_path: Path) -> None:
    tensors = {**fp8("model.a"), **fp8("lm_head")}
    quantization = mixed({"model.a": "FP8", "lm_head": "FP8"}, ignore=["lm_head*"])
    write_checkpoint(tmp_path, tensors, quantization)
    assert [finding.code for finding in check(tmp_path)] == ["CKF205"]
    stated = formats(call, tmp_path)["FP8"]["stated_in"]
    assert stated == {"config.json /quantization_config/quantized_layers": 1}


def test_the_nearest_entry_decides_wherever_it_is_in_the_file(call: Call, tmp_path: Path) -> None:
    tensors = {**nvfp4("m.mlp.up_proj"), **fp8("m.mlp.down_proj")}
    for layers in (
        {"m.mlp": "NVFP4", "m.mlp.down_proj": "FP8"},
        {"m.mlp.down_proj": "FP8", "m.mlp": "NVFP4"},
    ):
        write_checkpoint(tmp_path, tensors, mixed(layers))
        rows = formats(call, tmp_path)
        place = "config.json /quantization_config/quantized_layers"
        assert {name: row["stated_in"] for name, row in rows.items()} == {
            "NVFP4": {place: 1},
            "FP8": {place: 1},
        }


def mxfp4(name: str) -> Shapes:
    """Stored as W4A8_MXFP4_FP8 with dynamic activations is, too."""
    return {f"{name}.weight": ("U8", (32, 32)), f"{name}.weight_scale": ("U8", (32, 2))}


def test_an_excluded_module_keeps_the_name_that_the_file_gives_its_format(
    call: Call, tmp_path: Path
) -> None:
    quantization = {"quant_algo": "mxfp4", "ignore": ["lm_head"], "quant_method": "modelopt"}
    tensors = {**mxfp4("model.a"), **mxfp4("lm_head")}
    write_checkpoint(tmp_path, tensors, quantization, architecture="NobodyForCausalLM")
    (row,) = formats(call, tmp_path).values()
    assert (row["stored_format"], row["modules"]) == ("mxfp4", 2)
    (finding,) = check(tmp_path)
    assert finding.message == "is stored as mxfp4 but lm_head excludes it"
    assert call("rewrite", tmp_path, "--from-tensors").returncode == 0
    made = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert (made["quant_algo"], made["ignore"]) == ("mxfp4", [])


@pytest.mark.parametrize(
    ("slug", "algo", "declared"),
    [
        ("method-fp8-fp8", "FP8_TENSOR", {"FP8": "config.json /quantization_config/quant_method"}),
        ("method-awq-fp8", None, {}),
        (
            "deepseek-v4-hybrid",
            "FP8_BLOCK_INV",
            {"FP8_BLOCK_INV": "config.json /quantization_config/weight_block_size"},
        ),
    ],
)
def test_inspect_shows_config_json_of_another_quantizer(
    slug: str, algo: str | None, declared: dict[str, str], call: Call, tmp_path: Path
) -> None:
    directory = unpack(slug, tmp_path / slug)
    config, own = json.loads(call("inspect", directory, "--json").stdout)["metadata"]
    assert (config["file"], config["quant_algo"]) == ("config.json", algo)
    assert own["file"] == "hf_quant_config.json"
    counted = formats(call, directory)
    for label, place in declared.items():
        assert counted[label]["stated_in"][place] == counted[label]["modules"]
    here = {place for row in counted.values() for place in row["stated_in"]}
    assert {p for p in here if p.startswith("config.json")} == set(declared.values())
