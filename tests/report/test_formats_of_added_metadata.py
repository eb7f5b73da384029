"""Every format, where the advised rewrite adds metadata to a file that had none."""

import json
from pathlib import Path

import pytest

from ckptfix.report.formats import FORMATS
from tests.cases.packed import unpack
from tests.conftest import DATA, Call, CopyOf

OWN = sorted(path.parent.name for path in DATA.glob("*/hf_quant_config.json"))
MIXED_EXPERTS = "control-qwen3moe-mixed"
NAMED_IN_ONE_FILE = "sglang-nemotronh-mixed-hfq-only"


def without_quantization_config(directory: Path) -> Path:
    """Only hf_quant_config.json declares anything."""
    file = directory / "config.json"
    config = json.loads(file.read_text())
    config.pop("quantization_config", None)
    file.write_text(json.dumps(config, indent=2))
    return directory


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", [MIXED_EXPERTS, NAMED_IN_ONE_FILE, *OWN])
def test_each_reports_a_checkpoint_with_metadata_in_one_file_only(
    name: str, format_: str, call: Call, copy_of: CopyOf, tmp_path: Path
) -> None:
    if format_ == "html":
        pytest.importorskip("jinja2")
    made = copy_of(name) if name in OWN else unpack(name, tmp_path / name)
    directory = without_quantization_config(made)
    done = call("check", directory, "--format", format_)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert done.stdout


def test_sarif_fixes_the_file_that_had_no_metadata_as_the_rewrite_does(
    call: Call, tmp_path: Path
) -> None:
    directory = without_quantization_config(unpack(MIXED_EXPERTS, tmp_path / "moe"))
    asked = ("check", directory, "--runtime", "vllm==0.32.0", "--format", "sarif")
    [run] = json.loads(call(*asked).stdout)["runs"]
    [fix] = {json.dumps(fix) for result in run["results"] for fix in result.get("fixes", ())}
    [changed] = json.loads(fix)["artifactChanges"]
    assert changed["artifactLocation"]["uri"].endswith("/config.json")
    added = changed["replacements"][0]["insertedContent"]["text"]
    assert call("rewrite", directory, "--from-tensors").returncode == 0
    written = (directory / "config.json").read_text()
    assert added in written
    layers = json.loads(written)["quantization_config"]["quantized_layers"]
    assert "model.layers.0.mlp.experts" in layers
