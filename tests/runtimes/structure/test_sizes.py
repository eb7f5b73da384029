"""Sizes and dtypes of tensors against those that follow from config.json."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from ckptfix.runtimes.loads import Answer, Effect
from tests.builders import bf16
from tests.conftest import DATA
from tests.runtimes.structure.models import BOTH, FP8, NVFP4, llama, loads, qwen_moe, reasons_of


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("table", ["model.embed_tokens", "lm_head"])
def test_embeddings_and_head_have_vocab_size_rows(tmp_path: Path, runtime: str, table: str) -> None:
    found = loads(tmp_path, runtime, llama() | bf16(table, 30, 32))
    assert f"{table} has 30 rows, but vocab_size is 32" in reasons_of(found)
    assert found.effect is Effect.STOPS


@pytest.mark.parametrize("runtime", BOTH)
def test_a_head_has_two_dimensions(tmp_path: Path, runtime: str) -> None:
    """As many rows and columns as it should, and one dimension more."""
    tensors = llama() | {"lm_head.weight": ("BF16", (32, 32, 1))}
    found = loads(tmp_path, runtime, tensors)
    assert "lm_head has 3 dimensions, and a head has two" in reasons_of(found)
    assert found.effect is Effect.STOPS


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"group_size": 32}, "groups of 32, but groups of 16 are stored"),
        ({"group_size": 0}, "group_size is 0"),
    ],
)
def test_the_group_size_is_that_of_the_tensors(
    tmp_path: Path, runtime: str, config: dict[str, Any], reason: str
) -> None:
    found = loads(
        tmp_path,
        runtime,
        qwen_moe(),
        {"num_hidden_layers": 1, "num_experts": 4},
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4 | config,
    )
    assert reason in reasons_of(found)
    assert found.effect is Effect.STOPS


@pytest.mark.parametrize(
    ("columns", "reason"), [(192, "192 input features"), (128, "a single number")]
)
def test_blocks_of_fp8(tmp_path: Path, columns: int, reason: str) -> None:
    name = "model.layers.0.mlp.down_proj"
    scale = (1, 1, -(-columns // 128), 1) if columns > 128 else ()
    tensors = llama() | {
        f"{name}.weight": ("F8_E4M3", (128, columns)),
        f"{name}.weight_scale": ("F32", scale),
    }
    del tensors[f"{name}.input_scale"]
    found = loads(tmp_path, "vllm", tensors, quantization=FP8 | {"quant_algo": "FP8_PB_WO"})
    assert any(reason in r.text for r in found.reasons if r.module == name)


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("model.layers.1.mlp.up_proj.weight", ("F8_E4M3", (48, 32)), "is 48 x 32"),
        ("model.layers.0.self_attn.k_proj.weight", ("F8_E4M3", (16, 32)), "implies 32 x 32"),
        ("model.layers.0.input_layernorm.weight", ("BF16", (30,)), "is 30, but config.json"),
        ("model.layers.0.self_attn.q_proj.bias", ("BF16", (30,)), "its weight has 32 rows"),
        ("model.layers.1.input_layernorm.weight", ("F8_E4M3", (32,)), "has no scale"),
        ("model.layers.1.mlp.up_proj.k_scale", ("F32", ()), "has no parameter for"),
    ],
)
def test_sizes_and_dtypes_follow_from_config_json(
    tmp_path: Path, runtime: str, name: str, shape: tuple[str, tuple[int, ...]], reason: str
) -> None:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = heads | {"hidden_size": 32, "intermediate_size": 32}
    assert loads(tmp_path / "whole", runtime, llama(), config).answer is Answer.YES
    found = loads(tmp_path / "broken", runtime, llama() | {name: shape}, config)
    assert reason in reasons_of(found)


def test_a_narrow_mlp_is_padded_by_sglang_only(tmp_path: Path) -> None:
    config = {"hidden_size": 32, "intermediate_size": 64}
    assert loads(tmp_path / "s", "sglang", llama(), config).answer is Answer.YES
    assert "implies 64 x 32" in reasons_of(loads(tmp_path / "v", "vllm", llama(), config))


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        (1, "loads only a part: {}k_proj has 32 outputs, but config.json implies 16"),
        (4, "stops: {}k_proj has 32 outputs, but config.json implies 64"),
    ],
)
def test_packed_codes_have_as_many_outputs_as_config_json_implies(
    tmp_path: Path, heads: int, said: str
) -> None:
    """VLLM 0.33.0 cuts the first; RuntimeError: start (0) + length exceeds dimension size."""
    directory = shutil.copytree(DATA / "quantizers" / "ar-qwen25vl-w4a16", tmp_path / "packed")
    config = json.loads((directory / "config.json").read_text())
    assert config["text_config"]["num_key_value_heads"] == 2
    config["text_config"]["num_key_value_heads"] = heads
    (directory / "config.json").write_text(json.dumps(config))
    [verdict] = check(directory, runtimes=["vllm==0.33.0"]).verdicts
    reasons = "; ".join(map(str, verdict.loads.reasons))
    assert said.format("model.layers.0.self_attn.") in reasons
