"""Draft layers that are stored with a model: whether a release loads those too."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.drafts import DraftAnswer, draft_answers
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.targets import Target
from tests.builders import Shapes, bf16, fp8, write_checkpoint
from tests.conftest import Call, load

VLLM = Target("vllm", "0.33.0", "0.33.0")
LAYERS = 1
CONFIG = {
    "num_hidden_layers": LAYERS,
    "num_nextn_predict_layers": 1,
    "use_qk_norm": True,
    "n_routed_experts": 2,
    "first_k_dense_replace": 0,
    "vocab_size": 64,
    "tie_word_embeddings": False,
}
WHOLE = {
    "head_dim": 8,
    "hidden_size": 32,
    "intermediate_size": 32,
    "moe_intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_experts_per_tok": 1,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
}
"""What its config class has other numbers for."""
LINEARS = [f"self_attn.{part}_proj" for part in "qkvo"]
LINEARS += [
    f"mlp.{bank}.{part}_proj"
    for bank in ("experts.0", "experts.1", "shared_experts")
    for part in ("gate", "up", "down")
]
VECTORS = ["input_layernorm.weight", "post_attention_layernorm.weight"]
VECTORS += ["self_attn.q_norm.weight", "self_attn.k_norm.weight"]


def layer(number: int, *, stored: Any) -> Shapes:
    """A layer of GLM-4.5 with experts."""
    start = f"model.layers.{number}"
    made: Shapes = {f"{start}.{name}": ("BF16", (32,)) for name in VECTORS}
    made[f"{start}.mlp.gate.weight"] = ("BF16", (2, 32))
    made[f"{start}.mlp.gate.e_score_correction_bias"] = ("F32", (2,))
    for name in LINEARS:
        made |= stored(f"{start}.{name}")
    return made


def glm(*, draft: Any, drop: str = "") -> Shapes:
    """A model of one layer in FP8, and its draft layer."""
    made: Shapes = {**bf16("model.embed_tokens", 64, 32), **bf16("lm_head", 64, 32)}
    made |= {"model.norm.weight": ("BF16", (32,)), **layer(0, stored=fp8)}
    start = f"model.layers.{LAYERS}"
    made |= {**layer(LAYERS, stored=draft), **bf16(f"{start}.eh_proj", 32, 64)}
    made |= bf16(f"{start}.shared_head.head", 64, 32)
    for name in ("enorm", "hnorm", "shared_head.norm"):
        made[f"{start}.{name}.weight"] = ("BF16", (32,))
    made.pop(drop, None)
    return made


def quantization(*more: str) -> dict[str, object]:
    return {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head", *more]}


def write(folder: Path, tensors: Shapes, metadata: dict[str, object], **config: object) -> Path:
    write_checkpoint(
        folder,
        tensors,
        metadata,
        architecture="Glm4MoeForCausalLM",
        extra_config={**CONFIG, **config},
    )
    return folder


def answers(folder: Path) -> tuple[DraftAnswer, ...]:
    return draft_answers(load(folder), [VLLM])


def test_a_draft_layer_is_judged_as_the_class_that_is_built_for_it(tmp_path: Path) -> None:
    [draft] = answers(write(tmp_path, glm(draft=fp8), quantization("*head")))
    assert draft.architecture == "Glm4MoeMTPModel"
    assert draft.loads.answer is Answer.YES, draft.loads


def test_its_head_is_looked_up_under_a_name_of_its_own(tmp_path: Path) -> None:
    [draft] = answers(write(tmp_path, glm(draft=fp8), quantization("*shared_head*")))
    assert "model.layers.1.head: no pattern excludes it" in list(map(str, draft.loads.reasons))


def test_a_draft_layer_that_no_pattern_excludes_is_built_quantized(tmp_path: Path) -> None:
    [draft] = answers(write(tmp_path, glm(draft=bf16), quantization("*head")))
    assert draft.loads.answer is Answer.NO
    assert "built in a different format" in str(draft.loads)


def test_what_was_not_seen_of_a_draft_layer_is_unknown(tmp_path: Path) -> None:
    tensors = glm(draft=fp8, drop=f"model.layers.{LAYERS}.enorm.weight")
    [draft] = answers(write(tmp_path, tensors, quantization("*head")))
    assert draft.loads.answer is Answer.UNKNOWN
    assert "enorm" in str(draft.loads)


@pytest.mark.parametrize("declared", [0, None])
def test_there_is_no_answer_where_config_json_declares_no_draft(
    declared: int | None, tmp_path: Path
) -> None:
    folder = write(
        tmp_path, glm(draft=fp8), quantization("*head"), num_nextn_predict_layers=declared
    )
    assert answers(folder) == ()


def test_check_shows_it_beside_the_answer_for_the_model(tmp_path: Path, call: Call) -> None:
    folder = write(tmp_path, glm(draft=fp8), quantization("*head"))
    shown = call("check", str(folder), "--runtime", "vllm==0.33.0").stdout
    assert "speculative decoding" in shown
    assert "yes (Glm4MoeMTPModel)" in shown
    result = call("check", str(folder), "--runtime", "vllm==0.33.0", "--json")
    [draft] = json.loads(result.stdout)["checkpoints"][0]["drafts"]
    assert (draft["loads"], draft["architecture"]) == ("yes", "Glm4MoeMTPModel")


@pytest.mark.parametrize(
    ("release", "loads"),
    [("vllm==0.33.0", "yes"), ("sglang==0.5.23", "yes"), ("vllm==0.32.0", "no")],
)
def test_a_config_class_may_have_a_draft_layer_that_config_json_is_silent_of(
    release: str, loads: str, tmp_path: Path, call: Call
) -> None:
    """transformers 5.19.0 has one for glm4_moe; 5.12.1, the newest for vLLM 0.32.0, has none."""
    folder = write(tmp_path, glm(draft=bf16), quantization("*head"), model_type="glm4_moe", **WHOLE)
    config = json.loads((folder / "config.json").read_text())
    del config["num_nextn_predict_layers"]
    (folder / "config.json").write_text(json.dumps(config))
    result = call("check", str(folder), "--runtime", release, "--json")
    [runtime] = json.loads(result.stdout)["checkpoints"][0]["runtimes"]
    assert runtime["loads"] == loads, runtime
