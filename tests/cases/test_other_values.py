"""Exports whose config.json has another value than that of their tensors, also a valid one.

vLLM 0.33.0 stops at each, and SGLang 0.5.23 leaves parameters unwritten.
"""

import json
from pathlib import Path

import pytest

from tests.cases.exports import exports
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
    ],
)
def test_another_number_of_layers_or_of_sparse_ones_is_no_yes(
    slug: str, key: str, value: int, tmp_path: Path
) -> None:
    line = LINES[slug]
    config = json.loads(line["files"]["config.json"])
    before = ask(write(line, tmp_path / "before"))
    config[key] = value
    files = {**line["files"], "config.json": json.dumps(config)}
    after = ask(write({**line, "files": files}, tmp_path / "after"))
    assert "yes" in {got.answer for got in before.values()}
    assert not [release for release, got in after.items() if got.answer == "yes"]
