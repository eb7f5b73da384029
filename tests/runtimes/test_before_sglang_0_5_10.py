"""SGLang 0.5.8 and 0.5.9, which read quant_method `modelopt` as FP8 whatever quant_algo says.

The answers are those of their loaders, run on the same checkpoints with transformers 4.57.1 as on a
GPU with compute capability 10.0.
"""

import json
from pathlib import Path

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import ask

RELEASE = "sglang==0.5.9"
BY_GPU = "with compute capability 10.x only"


def answer(folder: Path, export: str) -> tuple[str, str]:
    write(exports("architectures")[export], folder)
    return asked(folder)


def alone(folder: Path, export: str) -> Path:
    """An export with hf_quant_config.json alone."""
    write(exports("architectures")[export], folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def asked(folder: Path, release: str = RELEASE) -> tuple[str, str]:
    got = ask(folder, (release,))[release]
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
        ("OlmoForCausalLM-nvfp4", "no"),
    ],
)
def test_hf_quant_config_alone(export: str, expected: str, tmp_path: Path) -> None:
    """Quant_algo decides there, so that NVFP4 loads where the class takes it."""
    assert asked(alone(tmp_path / "c", export))[0] == expected


@pytest.mark.parametrize(
    ("export", "expected", "why"),
    [
        ("ArceeForCausalLM-nvfp4", "yes", ""),
        ("GPTBigCodeForCausalLM-nvfp4", "yes", ""),
        ("LlamaForCausalLM-nvfp4", "yes", ""),
        ("GraniteMoeForCausalLM-nvfp4", "no", "experts: no pattern excludes it"),
        ("MixtralForCausalLM-nvfp4", "no", "k_scale"),
    ],
)
def test_0_5_8_excludes_no_experts(export: str, expected: str, why: str, tmp_path: Path) -> None:
    found, reasons = asked(alone(tmp_path / "c", export), "sglang==0.5.8")
    assert found == expected
    assert why in reasons


@pytest.mark.parametrize(
    ("fixture", "expected"), [("llama-fp8-kv8", "yes"), ("nanovl-fp8", "unknown")]
)
def test_0_5_8_takes_fp8_by_its_name(fixture: str, expected: str) -> None:
    assert asked(DATA / fixture, "sglang==0.5.8")[0] == expected
