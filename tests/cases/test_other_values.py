"""Exports whose config.json has another value than that of their tensors, also a valid one.

A release that loads the export as it is stops at each, or leaves parameters unwritten.
"""

from pathlib import Path

import pytest

from tests.cases.exports import changed, exports
from tests.cases.packed import write
from tests.replay import ask

LINES = exports("architectures")


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
