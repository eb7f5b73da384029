"""Exports of an architecture with a few tensors renamed, joined, added or left out.

Norms that no class has and draft layers under other names, names of the runtime's own modules,
experts as one tensor for each projection. Recorded by `tools/record_architectures.py`.
"""

from pathlib import Path

import pytest

from ckptfix.operations.check import check
from ckptfix.runtimes.loads import Effect
from tests.cases.exports import changed, contradictions, exports
from tests.cases.packed import write
from tests.replay import ask

LINES = exports("edited_architectures")


@pytest.mark.parametrize("slug", sorted(LINES))
def test_no_answer_contradicts_what_a_release_did(slug: str, tmp_path: Path) -> None:
    wrong = contradictions(LINES[slug], tmp_path)
    assert not wrong, wrong


@pytest.mark.parametrize(
    ("slug", "release", "effect"),
    [
        ("DeepseekV3ForCausalLM-nvfp4-fused", "vllm==0.33.0", Effect.STOPS),
        ("DeepseekV3ForCausalLM-nvfp4-fused", "sglang==0.5.23", Effect.WRONG_WEIGHTS),
        ("MixtralForCausalLM-nvfp4-fused", "vllm==0.33.0", Effect.WRONG_WEIGHTS),
        ("ExaoneMoeForCausalLM-mixed-fused", "vllm==0.33.0", Effect.STOPS),
    ],
)
def test_what_comes_of_fused_experts(
    slug: str, release: str, effect: Effect, tmp_path: Path
) -> None:
    [verdict] = check(write(LINES[slug], tmp_path / slug), runtimes=[release]).verdicts
    assert verdict.loads.effect is effect


def test_an_object_that_the_class_of_a_tower_needs(tmp_path: Path) -> None:
    line = LINES["MiniMaxM3SparseForConditionalGeneration-nvfp4-compression-missing"]
    given = changed(line, {"vision_config.img_token_compression_config": {}})
    for name, made, said in (("without", line, True), ("with", given, False)):
        for got in ask(write(made, tmp_path / name)).values():
            assert ("img_token_compression_config" in " ".join(got.reasons)) is said
