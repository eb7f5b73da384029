"""What is said of a checkpoint that does not load: the place and the reason.

The real vLLM 0.33.0 stops at both: `MIXED_PRECISION quant_algo requires a non-empty
'quantized_layers' mapping`, and tensors without a parameter.
"""

import json
from pathlib import Path
from typing import Any

from tests.builders import LLAMA_CONFIG, bf16, whole_llama, write_checkpoint
from tests.cases.packed import unpack
from tests.conftest import Call

NEWEST = ("--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")


def checked(call: Call, directory: Path) -> dict[str, Any]:
    [one] = json.loads(call("check", directory, *NEWEST, "--json").stdout)["checkpoints"]
    found: dict[str, Any] = one
    return found


def test_the_place_is_where_mixed_precision_is_declared(call: Call, tmp_path: Path) -> None:
    directory = unpack("control-llama-nvfp4", tmp_path / "c")
    file = directory / "config.json"
    config = json.loads(file.read_text())
    config["quantization_config"]["quant_algo"] = "MIXED_PRECISION"
    file.write_text(json.dumps(config, indent=1))
    found = [f for f in checked(call, directory)["findings"] if f["code"] == "CKF702"]
    assert len(found) == 2
    for finding in found:
        assert finding["file"] == "config.json"
        assert finding["pointer"] == "/quantization_config/quant_algo"


def test_a_module_in_another_quantized_format_does_not_lack_a_pattern(
    call: Call, tmp_path: Path
) -> None:
    other = "model.layers.0.mlp.down_proj"
    tensors = {n: row for n, row in whole_llama().items() if not n.startswith(other)}
    quantization = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}
    directory = write_checkpoint(
        tmp_path / "c", tensors | bf16(other), quantization, extra_config=LLAMA_CONFIG
    )
    found = checked(call, directory)["findings"]
    messages = {f["subject"]: f["message"] for f in found if f["code"] == "CKF701"}
    assert messages[other].endswith(": no pattern excludes it")
    assert messages["model.layers.0.self_attn.o_proj"].endswith(": config.json declares NVFP4")
