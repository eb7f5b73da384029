"""Draft layers that are stored with a model whose class was learned: it passes over them."""

from pathlib import Path

import pytest

from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.cases.altered import altered
from tests.cases.exports import exports
from tests.cases.packed import write
from tests.conftest import load

VLLM = Target("vllm", "0.33.0", "0.33.0")
ERNIE = "ernie45moe-nvfp4"
ERNIE_DRAFT = {
    "model.mtp_block.0.input_layernorm.weight": [512],
    "model.mtp_block.0.mlp.down_proj.weight": [512, 1024],
    "model.mtp_emb_norm.0.weight": [512],
    "model.mtp_linear_proj.0.weight": [512, 1024],
}


@pytest.mark.parametrize(
    ("counted", "answer"),
    [({"num_nextn_predict_layers": 1}, "yes"), ({"num_nextn_predict_layers": 0}, "unknown")],
)
def test_a_learned_class_passes_over_the_layers_that_config_json_counts(
    counted: dict[str, int], answer: Answer, tmp_path: Path
) -> None:
    """vLLM 0.33.0 was seen to: 33 tensors of a draft layer unused, all others loaded."""
    line = altered(exports("like_published")[ERNIE], {"add": ERNIE_DRAFT, "config": counted})
    checkpoint = load(write(line, tmp_path / "checkpoint"))
    assert judge(checkpoint, VLLM).loads.answer == answer


def test_it_does_not_pass_over_a_layer_beyond_those(tmp_path: Path) -> None:
    """vLLM 0.33.0 takes it for one of the model and stops."""
    beyond = {"model.layers.99.input_layernorm.weight": [512]}
    change = {"add": {**ERNIE_DRAFT, **beyond}, "config": {"num_nextn_predict_layers": 1}}
    line = altered(exports("like_published")[ERNIE], change)
    checkpoint = load(write(line, tmp_path / "checkpoint"))
    assert judge(checkpoint, VLLM).loads.answer != "yes"
