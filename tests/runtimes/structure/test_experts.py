"""Banks of experts: their number, and whether every expert is complete."""

from pathlib import Path

import pytest

from ckptfix.runtimes.loads import Answer
from tests.runtimes.structure.models import BOTH, NVFP4, loads, qwen_moe, reasons_of


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("experts.2.up_proj", "", "model.layers.0.mlp.experts.2.up_proj is not stored"),
        ("experts.2.up_proj", "experts.2.xup_proj", "experts.0.xup_proj is not stored"),
        ("experts.2.up_proj", "experts.up_proj.2", "has no parameter for"),
    ],
)
def test_experts_of_a_bank_have_the_same_modules(
    tmp_path: Path, runtime: str, old: str, new: str, reason: str
) -> None:
    moved = {k.replace(old, new): v for k, v in qwen_moe().items() if new or old not in k}
    found = loads(
        tmp_path,
        runtime,
        moved,
        {"num_hidden_layers": 1, "num_experts": 4},
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4,
    )
    assert reason in reasons_of(found)


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (4, ""),
        (5, "experts has 4 experts, but config.json declares 5"),
        (3, "experts has expert 3, but config.json declares 3"),
    ],
)
def test_the_number_of_experts_is_that_of_config_json(
    tmp_path: Path, runtime: str, declared: int, reason: str
) -> None:
    config = {"num_hidden_layers": 1, "num_experts": declared}
    found = loads(
        tmp_path,
        runtime,
        qwen_moe(),
        config,
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4,
    )
    assert (found.answer is Answer.YES) == (declared == 4)
    assert reason in reasons_of(found)
    if reason:
        assert f"mlp.gate has 4 rows, but config.json declares {declared} experts" in reasons_of(
            found
        )
