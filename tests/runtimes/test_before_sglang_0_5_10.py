"""SGLang 0.5.9, which reads quant_method `modelopt` as FP8 whatever quant_algo says.

The answers are those of its loader, run on the same checkpoints with transformers 4.57.1 as on a
GPU with compute capability 10.0.
"""

import json
from pathlib import Path

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask

RELEASE = "sglang==0.5.9"
BY_GPU = "with compute capability 10.x only"


def answer(folder: Path, export: str) -> tuple[str, str]:
    write(exports("architectures")[export], folder)
    return asked(folder)


def asked(folder: Path) -> tuple[str, str]:
    got = ask(folder, (RELEASE,))[RELEASE]
    return got.answer, " ".join(got.reasons)


@pytest.mark.parametrize(
    ("export", "expected", "why"),
    [
        ("LlamaForCausalLM-nvfp4", "no", "NVFP4 for the whole checkpoint is not supported"),
        ("LlamaForCausalLM-mixed", "no", "MIXED_PRECISION for the whole checkpoint"),
        ("NemotronHForCausalLM-mixed", "no", "MIXED_PRECISION for the whole checkpoint"),
        ("Qwen3MoeForCausalLM-nvfp4", "unknown", BY_GPU),
        ("Glm4MoeForCausalLM-nvfp4", "unknown", BY_GPU),
        ("Qwen3NextForCausalLM-mixed", "no", "MIXED_PRECISION for the whole checkpoint"),
    ],
)
def test_quant_method_modelopt(export: str, expected: str, why: str, tmp_path: Path) -> None:
    found, reasons = answer(tmp_path / "c", export)
    assert found == expected
    assert why in reasons


def test_nemotron_h_takes_the_method_of_its_quant_algo(tmp_path: Path) -> None:
    """What stops it is not that NVFP4 is not supported."""
    _, reasons = answer(tmp_path / "c", "NemotronHForCausalLM-nvfp4")
    assert "not supported" not in reasons


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ("ApertusForCausalLM-nvfp4", "yes"),
        ("ArceeForCausalLM-nvfp4", "yes"),
        ("LlamaForCausalLM-nvfp4", "yes"),
        ("MistralForCausalLM-nvfp4", "yes"),
        ("Gemma3ForCausalLM-nvfp4", "no"),
        ("GraniteForCausalLM-nvfp4", "no"),
        ("Glm4MoeForCausalLM-nvfp4", "no"),
        ("MixtralForCausalLM-nvfp4", "no"),
        ("Qwen2ForCausalLM-nvfp4", "no"),
        ("Qwen3MoeForCausalLM-nvfp4", "no"),
        ("OlmoForCausalLM-nvfp4", "unknown"),
    ],
)
def test_hf_quant_config_alone(export: str, expected: str, tmp_path: Path) -> None:
    """Quant_algo decides there, so that NVFP4 loads where the class takes it."""
    folder = tmp_path / "c"
    write(exports("architectures")[export], folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert asked(folder)[0] == expected
