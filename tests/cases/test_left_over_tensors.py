"""What no norm and no linear has: vLLM 0.33.0 stops at each, with and without a known layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask

RELEASE = "vllm==0.33.0"
LINES = exports("architectures")


def beside(line: dict[str, Any], tensor: str) -> dict[str, Any]:
    """The export with another number."""
    [(file, (header, length)), *others] = line["shards"].items()
    rows = json.loads(header)
    rows[tensor] = {"dtype": "F32", "shape": [], "data_offsets": [length, length + 4]}
    shards = {file: [json.dumps(rows), length + 4], **dict(others)}
    return {**line, "shards": shards}


@pytest.mark.parametrize("role", ["weight_scale", "weight_scale_2", "k_bias"])
@pytest.mark.parametrize(
    ("slug", "norm"),
    [
        ("Qwen2ForCausalLM-mixed", "model.layers.3.post_attention_layernorm"),
        ("OlmoeForCausalLM-mixed", "model.layers.0.self_attn.q_norm"),
        ("Qwen2VLForConditionalGeneration-mixed", "model.norm"),
        ("MuseGlimmerForConditionalGeneration-mixed", "model.vision_tower.layers.0.norm1"),
    ],
)
def test_a_scale_or_bias_of_a_norm_is_a_no(slug: str, norm: str, role: str, tmp_path: Path) -> None:
    line = LINES[slug]
    assert line["runtimes"][RELEASE]["loads"]
    assert ask(write(line, tmp_path / "before"))[RELEASE].answer == "yes"
    changed = write(beside(line, f"{norm}.{role}"), tmp_path / "after")
    assert ask(changed)[RELEASE].answer == "no"


@pytest.mark.parametrize(
    ("slug", "tensor"),
    [
        ("ExaoneMoeForCausalLM-mixed", "model.layers.2.mlp.gate_proj.input_quantizer._amax"),
        (
            "ExaoneMoeForCausalLM-mixed",
            "model.layers.1.mlp.shared_experts.gate_proj.weight_quantizer._amax",
        ),
        ("Starcoder2ForCausalLM-nvfp4", "model.layers.0.mlp.c_fc.k_scale"),
        ("ExaoneMoeForCausalLM-mixed", "model.layers.1.mlp.k_scale"),
        ("Qwen3_5ForCausalLM-mixed", "model.layers.0.linear_attn.q_scale"),
        ("Qwen3_5ForCausalLM-mixed", "model.layers.0.linear_attn.k_zero_point"),
    ],
)
def test_what_calibration_left_behind_is_a_no(slug: str, tensor: str, tmp_path: Path) -> None:
    line = LINES[slug]
    assert ask(write(line, tmp_path / "before"))[RELEASE].answer == "yes"
    assert ask(write(beside(line, tensor), tmp_path / "after"))[RELEASE].answer == "no"
