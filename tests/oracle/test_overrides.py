"""Real vLLM 0.33.0 takes the quantization config that `--hf-overrides` passes: `make oracle`."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run

pytestmark = pytest.mark.oracle

HOME = Path(os.environ.get("ORACLE_HOME", Path.home() / ".cache" / "ckptfix-oracle"))
SCRIPT = """
import json, sys
from vllm.config.model import ModelConfig
model, overrides = sys.argv[1], json.loads(sys.argv[2])
made = ModelConfig(
    model=model, skip_tokenizer_init=True, dtype="bfloat16", hf_overrides=overrides
)
print(json.dumps([made.quantization, made.hf_config.quantization_config]))
"""


@pytest.fixture(autouse=True)
def _oracle() -> None:
    if not (HOME / "venv" / "bin" / "python").exists():
        pytest.skip("the oracle is not set up: make oracle")


def test_the_override_is_what_the_real_model_config_holds(
    copy_of: Callable[[str], Path], run: Run
) -> None:
    directory = copy_of("llama-fp8-kv8")
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"]["ignore"] = ["model.*"]
    (directory / "config.json").write_text(json.dumps(config))
    asked = ("--from-tensors", "--overrides", "--runtime", "vllm==0.33.0")
    command = shlex.split(run("rewrite", directory, *asked).stdout.splitlines()[-1])
    assert command[:2] == ["vllm", "serve"]
    done = subprocess.run(
        [HOME / "venv" / "bin" / "python", "-c", SCRIPT, directory, command[-1]],
        env={**os.environ, "PYTHONPATH": str(HOME / "vllm"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    quantization, held = json.loads(done.stdout.splitlines()[-1])
    passed = json.loads(command[-1])["quantization_config"]
    assert quantization == "modelopt"
    assert {key: held[key] for key in passed} == passed
    assert held["ignore"] == ["lm_head"]
