"""Gemma 4 with experts: the names of the bank, release by release, as the real loaders take them.

vLLM calls it `moe.experts` in 0.19.0 to 0.30.0 and `experts` from 0.31.0 on, and each release
renames the tensors its own way; every answer was given by the loader of that release too.
"""

from pathlib import Path

import pytest

import ckptfix
from tests.runtimes.gemma_4 import gemma_4


@pytest.mark.parametrize(
    ("bank", "release", "loads"),
    [
        ("experts", "vllm==0.19.0", "no"),
        ("experts", "vllm==0.19.1", "yes"),
        ("experts", "vllm==0.20.0", "yes"),
        ("experts", "vllm==0.28.0", "yes"),
        ("experts", "vllm==0.30.0", "yes"),
        ("experts", "vllm==0.31.0", "yes"),
        ("experts", "vllm==0.33.0", "yes"),
        ("experts", "sglang==0.5.23", "yes"),
        ("moe.experts", "vllm==0.19.0", "no"),
        ("moe.experts", "vllm==0.20.0", "no"),
        ("moe.experts", "vllm==0.21.0", "yes"),
        ("moe.experts", "vllm==0.30.0", "yes"),
        ("moe.experts", "vllm==0.31.0", "no"),
        ("moe.experts", "vllm==0.33.0", "no"),
        ("moe.experts", "sglang==0.5.23", "yes"),
    ],
)
def test_each_release_finds_the_experts_where_its_loader_does(
    bank: str, release: str, loads: str, tmp_path: Path
) -> None:
    result = ckptfix.check(gemma_4(tmp_path, bank=bank), runtimes=[release])
    (answer,) = result.runtimes
    assert answer.loads == loads


def test_a_parameter_called_scale_is_no_scale_of_a_weight(tmp_path: Path) -> None:
    """`router.scale` stands beside no weight, in every Gemma 4 model with experts."""
    result = ckptfix.check(gemma_4(tmp_path, bank="experts"), runtimes=["vllm==0.33.0"])
    assert not result.findings
