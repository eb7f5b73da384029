"""What `--from-tensors` writes where a file names an algorithm that the runtimes do not take.

The repaired metadata of each was loaded by the real vLLM 0.33.0 and SGLang 0.5.23.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FIXTURES, Call
from tests.operations.test_fewer_releases import alone
from tests.operations.test_one_answer import assert_all, copied

CONFIG, HF_QUANT = "config.json", "hf_quant_config.json"
NEWEST = ("--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")
Change = Callable[[Path], None]


def declaring(*files: str, by_itself: bool = False, **fields: object) -> Change:
    def change(directory: Path) -> None:
        if by_itself:
            alone(directory)
        for file in files:
            path = directory / file
            value: dict[str, Any] = json.loads(path.read_text())
            value["quantization_config" if file == CONFIG else "quantization"].update(fields)
            path.write_text(json.dumps(value, indent=2))

    return change


def a_null(directory: Path) -> None:
    alone(directory)
    (directory / HF_QUANT).write_text('{"quantization": null}')


MIXED: dict[str, Any] = {"quant_algo": "MIXED_PRECISION"}
CASES: dict[str, tuple[str, Change, str]] = {
    "a map is missing in config.json": (
        "llama-nvfp4-tied",
        declaring(CONFIG, **MIXED),
        "NVFP4",
    ),
    "a map is missing in both": (
        "llama-nvfp4-tied",
        declaring(CONFIG, HF_QUANT, **MIXED),
        "NVFP4",
    ),
    "a map is missing in hf_quant_config.json alone": (
        "llama-nvfp4-tied",
        declaring(HF_QUANT, by_itself=True, **MIXED),
        "NVFP4",
    ),
    "a map of nothing": (
        "llama-fp8-kv8",
        declaring(CONFIG, HF_QUANT, quantized_layers={}, **MIXED),
        "FP8",
    ),
    "null in hf_quant_config.json alone": ("llama-nvfp4-tied", a_null, "NVFP4"),
    "FP8 that SGLang would read as W4AFP8": (
        "llama-fp8-kv8",
        declaring(CONFIG, HF_QUANT, **MIXED),
        "FP8",
    ),
    "an algorithm in lower case": (
        "llama-nvfp4-tied",
        declaring(CONFIG, quant_algo="nvfp4"),
        "NVFP4",
    ),
    "a method in another case": (
        "llama-nvfp4-tied",
        declaring(CONFIG, quant_method="ModelOpt"),
        "NVFP4",
    ),
}


@pytest.mark.parametrize(("name", "change", "algorithm"), CASES.values(), ids=CASES)
def test_the_newest_releases_load_it_after_the_next_step(
    name: str, change: Change, algorithm: str, tmp_path: Path, call: Call
) -> None:
    directory = copied(FIXTURES / name, tmp_path / "broken")
    change(directory)
    assert call("check", directory, *NEWEST).returncode == 1
    assert_all(directory, tmp_path / "run")
    step = call("check", directory).stdout.partition("Next step\n")[2].split("#")[0].split()
    assert step[:2] == ["ckptfix", "rewrite"]
    assert call(*step[1:]).returncode == 0
    assert call("check", directory, *NEWEST).returncode == 0
    written = json.loads((directory / CONFIG).read_text())["quantization_config"]
    assert (written["quant_algo"], written["quant_method"]) == (algorithm, "modelopt")
