"""Exports whose config.json has another value than that of their tensors, also a valid one.

A release that loads the export as it is stops at each, or leaves parameters unwritten.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.cases.exports import changed, exports
from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import ask

LINES = exports("architectures")
SGLANG = "sglang==0.5.23"


@pytest.mark.parametrize(
    ("slug", "key", "value"),
    [
        ("Ernie4_5_MoeForCausalLM-nvfp4", "moe_layer_interval", 2),
        ("Ernie4_5_MoeForCausalLM-nvfp4", "moe_layer_start_index", 2),
        ("GPTBigCodeForCausalLM-nvfp4", "n_layer", 5),
        ("GPTBigCodeForCausalLM-nvfp4", "n_layer", 8),
        ("Qwen2VLForConditionalGeneration-nvfp4", "vision_config.num_heads", 17),
        ("Qwen2_5_VLForConditionalGeneration-nvfp4", "vision_config.num_heads", 17),
        ("Qwen3VLForConditionalGeneration-nvfp4", "vision_config.num_heads", 17),
        ("Qwen3_5ForConditionalGeneration-nvfp4", "vision_config.num_heads", 17),
        ("Qwen3_5MoeForConditionalGeneration-nvfp4", "vision_config.num_heads", 17),
        ("Idefics3ForConditionalGeneration-nvfp4", "vision_config.num_attention_heads", 17),
        ("SmolVLMForConditionalGeneration-nvfp4", "vision_config.num_attention_heads", 17),
    ],
)
def test_another_number_is_no_yes_where_the_class_has_other_tensors_or_stops(
    slug: str, key: str, value: int, tmp_path: Path
) -> None:
    line = LINES[slug]
    before = ask(write(line, tmp_path / "before"))
    after = ask(write(changed(line, {key: value}), tmp_path / "after"))
    assert "yes" in {got.answer for got in before.values()}
    assert not [release for release, got in after.items() if got.answer == "yes"]


@pytest.mark.parametrize("fixture", ["llama-nvfp4-awq", "llama-w4a16-nvfp4"])
def test_sglang_fills_an_mlp_up_but_not_a_group_of_codes(fixture: str, tmp_path: Path) -> None:
    """As it did: it refuses 97 inputs where 96 are stored, and takes 112."""
    for size, answer in ((97, "no"), (112, "yes")):
        folder = tmp_path / str(size)
        shutil.copytree(DATA / fixture, folder)
        config = json.loads((folder / "config.json").read_text())
        assert config["intermediate_size"] == 96
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": size}))
        assert ask(folder, (SGLANG,))[SGLANG].answer == answer
