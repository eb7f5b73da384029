"""Rules about what runtimes do count the modules that runtimes look up."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import Shapes, bf16, nvfp4, write_checkpoint
from tests.conftest import check
from tests.replay import ask_codes

LAYER = "model.layers.0"
PARTS = ("q_proj", "k_proj", "v_proj", "o_proj")


def moe(attention: str = "") -> Shapes:
    """One layer of Mixtral in NVFP4, a bare router, and `attention` in BF16."""
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    for part in PARTS:
        name = f"{LAYER}.self_attn.{part}"
        made |= bf16(name) if part == attention else nvfp4(name)
    for number in range(2):
        for part in ("w1", "w2", "w3"):
            made |= nvfp4(f"{LAYER}.block_sparse_moe.experts.{number}.{part}")
    for part in ("input_layernorm", "post_attention_layernorm"):
        made |= bf16(f"{LAYER}.{part}", 32)
    return made | bf16(f"{LAYER}.block_sparse_moe.gate", 2, 32)


def written(directory: Path, tensors: Shapes, ignore: list[str]) -> Path:
    quantization: dict[str, Any] = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "group_size": 16,
        "ignore": ignore,
    }
    config = {
        "num_hidden_layers": 1,
        "num_local_experts": 2,
        "vocab_size": 32,
        "tie_word_embeddings": False,
    }
    architecture = "MixtralForCausalLM"
    return write_checkpoint(
        directory, tensors, quantization, architecture=architecture, extra_config=config
    )


def plain(directory: Path) -> list[tuple[str, str]]:
    return [(finding.code, finding.subject) for finding in check(directory)]


def test_a_router_needs_no_pattern(tmp_path: Path) -> None:
    directory = written(tmp_path, moe(), ["lm_head"])
    assert plain(directory) == []
    assert ask_codes(directory) == {}


def test_a_layer_that_is_looked_up_needs_one(tmp_path: Path) -> None:
    directory = written(tmp_path, moe("o_proj"), ["lm_head"])
    assert plain(directory) == [("CKF206", f"{LAYER}.self_attn.o_proj")]
    assert ask_codes(directory)["CKF206"] == 1


@pytest.mark.parametrize(("pattern", "hit"), [("moe.ga", []), ("attn.o", [("CKF104", "attn.o")])])
def test_a_fragment_counts_by_what_it_reaches(
    tmp_path: Path, pattern: str, hit: list[tuple[str, str]]
) -> None:
    tensors = moe("o_proj")
    directory = written(tmp_path, tensors, ["lm_head", f"{LAYER}.self_attn.o_proj", pattern])
    assert plain(directory) == hit
    # vLLM builds nothing otherwise for it; SGLang looks the layer up without `model`.
    assert ("CKF104" in ask_codes(directory)) == bool(hit)
    assert ask_codes(directory, ("vllm==0.33.0",)) == {}
