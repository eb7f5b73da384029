"""Values of config.json that decide what a class builds, or whether it builds anything."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.loads import Answer, Effect
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import bf16, nvfp4
from tests.conftest import DATA, load
from tests.runtimes.structure.models import BOTH, NVFP4, llama, loads, qwen_moe, reasons_of


def test_a_value_of_config_json_that_a_class_does_not_support(tmp_path: Path) -> None:
    config = {"layers_block_type": ["linear_attention", "mamba"]}
    options: dict[str, Any] = {"architecture": "NemotronHForCausalLM"}
    found = loads(tmp_path / "s", "sglang", llama(), config, **options)
    assert "layers_block_type in config.json contains linear_attention" in reasons_of(found)
    assert "layers_block_type in" not in reasons_of(
        loads(tmp_path / "v", "vllm", llama(), config, **options)
    )


def test_a_vision_config_that_sglang_requires(tmp_path: Path) -> None:
    shutil.copytree(DATA / "nanovl-mixed", tmp_path / "c")
    file = tmp_path / "c" / "config.json"
    config = json.loads(file.read_text())
    del config["vision_config"], config["llm_config"]["layers_block_type"]
    file.write_text(json.dumps(config))
    verdict = judge(load(tmp_path / "c"), Target("sglang", "0.5.23", "0.5.23"))
    (reason,) = (r for r in verdict.loads.reasons if r.effect is Effect.STOPS)
    assert reason.text == "stops: config.json has no vision_config, which this architecture needs"


def test_a_number_that_a_class_divides_by(tmp_path: Path) -> None:
    """vLLM's class asks whether the number of a layer is a multiple; SGLang's does not."""
    options: dict[str, Any] = {"architecture": "Qwen3MoeForCausalLM", "quantization": NVFP4}
    config = {"num_hidden_layers": 1, "num_experts": 4, "decoder_sparse_step": 0}
    found = loads(tmp_path / "v", "vllm", qwen_moe(), config, **options)
    assert (
        reasons_of(found)
        == "stops: decoder_sparse_step of config.json is 0, and it divides by that"
    )
    assert loads(tmp_path / "s", "sglang", qwen_moe(), config, **options).answer is Answer.YES


@pytest.mark.parametrize("layers", [5, 6])
def test_layers_that_config_json_counts_are_those_of_the_language_model(
    tmp_path: Path, layers: int
) -> None:
    """The projector of Nano VL is numbered too: its modules are not layers."""
    shutil.copytree(DATA / "nanovl-mixed", tmp_path / "c")
    file = tmp_path / "c" / "config.json"
    config = json.loads(file.read_text())
    kinds = config["llm_config"]["layers_block_type"]
    config["llm_config"]["layers_block_type"] = [*kinds, *kinds][:layers]
    config["llm_config"]["num_hidden_layers"] = layers
    file.write_text(json.dumps(config))
    verdict = judge(load(tmp_path / "c"), Target("vllm", "0.33.0", "0.33.0"))
    expected = [] if layers == 5 else ["num_hidden_layers is 6, but layer 5 is not stored"]
    assert [r.text.partition(": ")[2] for r in verdict.loads.reasons] == expected


LATENT = {"q_lora_rank": 32, "kv_lora_rank": 32, "num_hidden_layers": 1}


@pytest.mark.parametrize("runtime", BOTH)
def test_a_packed_module_that_the_class_adds_for_some_configs(tmp_path: Path, runtime: str) -> None:
    """NVIDIA's DeepSeek V3.1 excludes the members; vLLM's class adds the packed name itself."""
    layer = "model.layers.0"
    members = [f"{layer}.self_attn.{part}" for part in ("q_a_proj", "kv_a_proj_with_mqa")]
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    others = [f"{layer}.self_attn.{part}" for part in ("q_b_proj", "kv_b_proj", "o_proj")]
    for member in (*members, *others):
        made |= bf16(member)
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ["self_attn.q_a_layernorm", "self_attn.kv_a_layernorm"]
    for norm in norms:
        made |= bf16(f"{layer}.{norm}", 32)
    for part in ("gate_proj", "up_proj", "down_proj"):
        made |= nvfp4(f"{layer}.mlp.{part}")
    quantization = NVFP4 | {"ignore": ["lm_head", *members, *others]}
    found = loads(
        tmp_path,
        runtime,
        made,
        LATENT,
        architecture="DeepseekV3ForCausalLM",
        quantization=quantization,
    )
    assert found.answer is Answer.YES
