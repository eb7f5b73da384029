"""Experts stored as one tensor for each projection, as transformers 5 saves them.

vLLM 0.33.0 and SGLang 0.5.23 were given such models, small ones made from the fixtures: what is
expected is what their loaders did.
"""

from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.loads import Answer, Effect
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, write_checkpoint
from tests.conftest import load
from tests.runtimes.structure.models import NVFP4, qwen_moe, reasons_of

_COMPANIONS = {"weight_scale": "F8_E4M3", "weight_scale_2": "F32", "input_scale": "F32"}
_BANK = "model.layers.0.mlp.experts"
_WITHOUT_EXPERTS = {"ignore": ["lm_head", "*.mlp.gate", "*.mlp.experts*"]}
CONFIG = {"num_hidden_layers": 1, "vocab_size": 32, "num_experts": 4, "tie_word_embeddings": False}


def fused(*, quantized: bool, between: str = "_") -> Shapes:
    made = {name: shape for name, shape in qwen_moe().items() if ".experts." not in name}
    for part, rows in (("gate_up_proj", 64), ("down_proj", 32)):
        name = f"{_BANK}.{part}"
        weight = f"{name}.weight" if between == "." else name
        made[weight] = ("U8", (4, rows, 16)) if quantized else ("BF16", (4, rows, 32))
        for role, dtype in _COMPANIONS.items() if quantized else ():
            shape = (4, rows, 2) if role == "weight_scale" else (4,)
            made[f"{name}{between}{role}"] = dtype, shape
    return made


def answer(tmp_path: Path, runtime: str, version: str, tensors: Shapes, **quant: Any) -> Any:
    directory = write_checkpoint(
        tmp_path / "c",
        tensors,
        NVFP4 | quant,
        architecture="Qwen3MoeForCausalLM",
        extra_config=CONFIG,
    )
    return judge(load(directory), Target(runtime, version, version)).loads


@pytest.mark.parametrize("between", ["_", "."])
def test_vllm_stops_at_the_scales_of_fused_experts(tmp_path: Path, between: str) -> None:
    found = answer(tmp_path, "vllm", "0.33.0", fused(quantized=True, between=between))
    assert (found.answer, found.effect) == (Answer.NO, Effect.STOPS)
    assert f"has no parameter for {_BANK}." in reasons_of(found)


@pytest.mark.parametrize("quantized", [True, False])
def test_sglang_drops_fused_experts(tmp_path: Path, *, quantized: bool) -> None:
    left_out = {} if quantized else _WITHOUT_EXPERTS
    found = answer(tmp_path, "sglang", "0.5.23", fused(quantized=quantized), **left_out)
    assert (found.answer, found.effect) == (Answer.NO, Effect.WRONG_WEIGHTS)
    assert f"does not load {_BANK}." in reasons_of(found)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.33.0", Answer.YES), ("0.25.0", Answer.YES), ("0.24.0", Answer.NO)],
)
def test_vllm_loads_them_unquantized(tmp_path: Path, version: str, expected: Answer) -> None:
    """The loader of 0.24.0 was read, not run: it has no parameter of that name, and goes on."""
    found = answer(tmp_path, "vllm", version, fused(quantized=False), **_WITHOUT_EXPERTS)
    assert found.answer is expected


def test_experts_one_by_one_are_no_fused_ones(tmp_path: Path) -> None:
    for runtime, version in (("vllm", "0.33.0"), ("sglang", "0.5.23")):
        assert answer(tmp_path / runtime, runtime, version, qwen_moe()).answer is Answer.YES
