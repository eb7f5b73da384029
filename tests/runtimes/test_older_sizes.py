"""Sizes that a class of an older release takes from another key. Its loader stops at both exports.

vllm 0.17.1, run on a CPU: "start (0) + length (512) exceeds dimension size (256)".
"""

from pathlib import Path

import pytest

from tests.cases.exports import exports
from tests.cases.packed import write
from tests.replay import ask


@pytest.mark.parametrize(
    ("export", "release", "expected", "why"),
    [
        ("OlmoForCausalLM-mixed", "vllm==0.24.0", "unknown", "takes num_attention_heads for"),
        ("OlmoForCausalLM-mixed", "vllm==0.33.0", "yes", ""),
        ("PhiForCausalLM-mixed", "vllm==0.28.0", "unknown", "takes num_attention_heads for"),
    ],
)
def test_a_size_from_another_key(
    export: str, release: str, expected: str, why: str, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    write(exports("architectures")[export], folder)
    got = ask(folder, (release,))[release]
    assert got.answer == expected
    assert why in " ".join(got.reasons)
