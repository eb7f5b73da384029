"""A layer of another kind than config.json declares.

The real vLLM 0.33.0 stops: `There is no module or parameter named 'layers.0.mlp.down_proj'`, and
`No Qwen3MoE layer found` where no layer has experts. SGLang 0.5.23 loads the layer without them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import LLAMA_CONFIG, bf16, nvfp4, write_checkpoint
from tests.conftest import Call

NEWEST = ("--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")


@pytest.mark.parametrize("listed", [None, "missing", [], [1]])
def test_a_layer_without_experts_where_some_are_declared_stops_vllm(
    listed: object, call: Call, tmp_path: Path
) -> None:
    directory = tmp_path / "c"
    tensors = bf16("model.embed_tokens", 64, 32) | bf16("lm_head", 64, 32) | bf16("model.norm", 32)
    for layer in ("model.layers.0", "model.layers.1"):
        for part in ("q", "k", "v", "o"):
            tensors |= nvfp4(f"{layer}.self_attn.{part}_proj")
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors |= bf16(f"{layer}.{norm}", 32)
    for part in ("gate", "up", "down"):
        tensors |= nvfp4(f"model.layers.0.mlp.{part}_proj")
        for expert in range(2):
            tensors |= nvfp4(f"model.layers.1.mlp.experts.{expert}.{part}_proj")
    tensors |= bf16("model.layers.1.mlp.gate", 2, 32)
    config: dict[str, Any] = {**LLAMA_CONFIG, "num_hidden_layers": 2, "num_experts": 2}
    if listed != "missing":
        config["mlp_only_layers"] = listed
    quantization = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "group_size": 16,
        "ignore": ["lm_head", "model.layers.1.mlp.gate"],
    }
    write_checkpoint(
        directory,
        tensors,
        quantization,
        architecture="Qwen3MoeForCausalLM",
        extra_config=config,
    )
    [one] = json.loads(call("check", directory, *NEWEST, "--json").stdout)["checkpoints"]
    vllm, sglang = one["runtimes"]
    assert (vllm["loads"], vllm["effect"]) == ("no", "stops while loading")
    assert any(
        "builds no module for mlp.gate_proj of layer 0: config.json declares a layer with" in reason
        for reason in vllm["reasons"]
    )
    assert "leaves weights uninitialised: layer 0 has no mlp.gate, but config.json declares" in str(
        sglang["reasons"]
    )
