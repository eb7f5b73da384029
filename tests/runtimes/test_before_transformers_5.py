"""Releases before transformers 5, and what only transformers 5 knows or writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import LLAMA_CONFIG, whole_llama, write_checkpoint
from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import SHARED
from tests.replay import ask

QUANTIZERS = SHARED / "quantizers" / "fixtures"


def answer(directory: Path, release: str) -> tuple[str, str]:
    got = ask(directory, (release,))[release]
    return got.answer, " ".join(got.reasons)


def llama(folder: Path, **config: Any) -> Path:
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    return write_checkpoint(
        folder,
        whole_llama(),
        quantization,
        extra_config={**LLAMA_CONFIG, "head_dim": 16, **config},  # not the default of each type
    )


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("llama", "vllm==0.18.0", "yes"),
        ("nemotron_h", "vllm==0.15.0", "unknown"),
        ("nemotron_h", "vllm==0.18.0", "unknown"),
        ("nemotron_h", "vllm==0.19.1", "yes"),
        ("ministral3", "vllm==0.18.0", "unknown"),
        ("ministral3", "sglang==0.5.9", "unknown"),
        ("olmo_hybrid", "vllm==0.18.0", "yes"),
    ],
)
def test_a_type_that_only_transformers_5_knows(
    kind: str, spec: str, expected: str, tmp_path: Path
) -> None:
    found, why = answer(llama(tmp_path / "c", model_type=kind), spec)
    assert found == expected
    assert ("does not know model_type" in why) == (expected == "unknown")


def test_code_of_the_checkpoint_reads_its_type(tmp_path: Path) -> None:
    code = {"AutoConfig": "configuration_nemotron_h.NemotronHConfig"}
    made = llama(tmp_path / "c", model_type="nemotron_h", auto_map=code)
    assert answer(made, "vllm==0.18.0")[0] == "yes"


@pytest.mark.skipif(not QUANTIZERS.is_dir(), reason="needs ../shared")
def test_what_transformers_5_wrote_counts_for_every_quantizer() -> None:
    """Vllm 0.15.0 builds 128 experts for the 4 of `num_local_experts`, and stops."""
    made = QUANTIZERS / "ct-qwen3moe-fp8-dynamic"
    found, why = answer(made, "vllm==0.15.0")
    assert found == "unknown"
    assert "wrote num_local_experts" in why


@pytest.mark.parametrize(("kind", "expected"), [("llama", "yes"), ("ministral3", "unknown")])
def test_a_language_model_that_only_transformers_5_knows(
    kind: str, expected: str, tmp_path: Path
) -> None:
    """Idefics3's class finds that of its language model by the type, as Mistral 3's does.

    SGLang 0.5.9 with transformers 4.57.1 stops at Ministral 3 in Mistral 3: KeyError.
    """
    folder = tmp_path / "c"
    write(exports("architectures")["Idefics3ForConditionalGeneration-nvfp4"], folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["text_config"]["model_type"] = kind
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    found, why = answer(folder, "vllm==0.15.0")
    assert found == expected
    assert ("model_type ministral3" in why) == (expected == "unknown")
