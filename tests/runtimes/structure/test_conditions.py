"""What a class builds only for some values of config.json."""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.loads import Answer
from tests.builders import Shapes, bf16, nvfp4
from tests.runtimes.structure.models import BOTH, NVFP4, attention, loads, reasons_of

LAYER = "model.layers.0"


def minimax_m2() -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    made |= {n: s for n, s in attention(LAYER).items() if "proj" not in n}
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= nvfp4(f"{LAYER}.self_attn.{part}")
    for part in ("q_norm", "k_norm"):
        made |= bf16(f"{LAYER}.self_attn.{part}", 32)
    moe = f"{LAYER}.block_sparse_moe"
    for number in range(2):
        for part in ("w1", "w2", "w3"):
            made |= nvfp4(f"{moe}.experts.{number}.{part}")
    made[f"{moe}.e_score_correction_bias"] = ("F32", (2,))
    return made | bf16(f"{moe}.gate", 2, 32)


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({}, {}),
        ({"use_routing_bias": False}, dict.fromkeys(BOTH, "e_score_correction_bias")),
        ({"use_qk_norm": False}, {"sglang": "k_norm"}),
        ({"use_qk_norm": None}, {"sglang": "k_norm"}),
    ],
)
def test_parameters_that_config_json_switches_off(
    tmp_path: Path, runtime: str, change: dict[str, Any], lost: dict[str, str]
) -> None:
    config = {
        "num_hidden_layers": 1,
        "num_local_experts": 2,
        "use_routing_bias": True,
        "use_qk_norm": True,
    }
    found = loads(
        tmp_path,
        runtime,
        minimax_m2(),
        config | change,
        architecture="MiniMaxM2ForCausalLM",
        quantization=NVFP4,
    )
    assert found.answer is (Answer.NO if runtime in lost else Answer.YES)
    assert lost.get(runtime, "") in reasons_of(found)


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("change", "stops"), [({"q_lora_rank": None}, False), ({"q_lora_rank": 8}, True), ({}, True)]
)
def test_a_query_in_one_piece_next_to_its_rank(
    tmp_path: Path, runtime: str, change: dict[str, Any], *, stops: bool
) -> None:
    """The config class of DeepSeek-V2 has a rank by default; its Lite models say null."""
    config = {"model_type": "deepseek_v2", **change}
    stored = bf16(f"{LAYER}.self_attn.q_proj")
    name = "DeepseekV2ForCausalLM"
    found = reasons_of(loads(tmp_path, runtime, stored, config, architecture=name))
    assert (f"has no parameter for {LAYER}.self_attn.q_proj.weight" in found) == stops
