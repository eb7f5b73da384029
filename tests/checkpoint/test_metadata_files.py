"""Metadata files that hold no JSON object, beside a config.json that decides or does not."""

import json
from pathlib import Path

import pytest

from tests.builders import fp8, safetensors_bytes
from tests.conftest import Call

OURS = {"quant_method": "modelopt", "quant_algo": "FP8"}


def write(directory: Path, quantization_config: object, file: str, text: str) -> Path:
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": quantization_config}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / file).write_text(text)
    (directory / "model.safetensors").write_bytes(safetensors_bytes(fp8("lm_head")))
    return directory


@pytest.mark.parametrize("text", ["{", "", "null", "[]", '{"a": 1, "a": 2}'])
@pytest.mark.parametrize("file", ["hf_quant_config.json", "quantize_config.json"])
def test_a_file_that_no_runtime_opens_is_a_finding(
    file: str, text: str, tmp_path: Path, call: Call
) -> None:
    done = call("check", write(tmp_path, OURS, file, text), "--select", "CKF509")
    assert f"  {file}\n" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    "quantization_config",
    [None, {}, OURS | {"quant_algo": "MIXED_PRECISION"}, {"quant_method": "modelopt_mixed"}],
)
def test_a_file_that_a_runtime_opens_is_refused(
    quantization_config: object, tmp_path: Path, call: Call
) -> None:
    """SGLang opens it for MIXED_PRECISION, both where config.json declares nothing."""
    done = call("check", write(tmp_path, quantization_config, "hf_quant_config.json", "null"))
    assert done.returncode == 2
    assert "hf_quant_config.json: holds null instead of a JSON object" in done.stderr
