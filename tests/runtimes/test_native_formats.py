"""Layers that a quantizer left in the format of the model that it started from."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Shapes, bf16, mixed, nvfp4, write_checkpoint
from tests.conftest import Call, check
from tests.replay import ask

ATTENTION = ("wq_a", "wq_b", "wkv", "wo_a", "wo_b")
EXPERT = ("w1", "w2", "w3")
BLOCKS = ("attn", "ffn")
HYPER = ("base", "fn", "scale")
"""Parameters of each hyper-connection."""
LISTED = {"quant_algo": "NVFP4", "group_size": 16}
NEWEST = ("vllm==0.33.0", "sglang==0.5.23")


def block_fp8(
    module: str, scale: str = "scale", dtype: str = "F8_E8M0", shape: tuple[int, int] = (128, 256)
) -> Shapes:
    return {
        f"{module}.weight": ("F8_E4M3", shape),
        f"{module}.{scale}": (dtype, (shape[0] // 128, shape[1] // 128)),
    }


def mxfp4(module: str) -> Shapes:
    return {f"{module}.weight": ("I8", (32, 32)), f"{module}.scale": ("F8_E8M0", (32, 2))}


def mxfp8(module: str, scale: str) -> Shapes:
    return {f"{module}.weight": ("F8_E4M3", (64, 64)), f"{module}.{scale}": ("U8", (64, 2))}


def deepseek_v4(scale: str = "scale", dtype: str = "F8_E8M0", experts: Any = nvfp4) -> Shapes:
    """One layer and a draft layer, as published: the experts alone were quantized."""
    made = bf16("embed", 32, 256) | bf16("norm", 256) | bf16("head", 32, 256)
    made |= {f"hc_head_{part}": ("F32", (32,)) for part in HYPER}
    for layer in ("layers.0", "mtp.0"):
        made |= bf16(f"{layer}.attn_norm", 256) | bf16(f"{layer}.ffn_norm", 256)
        made |= bf16(f"{layer}.attn.q_norm", 128) | bf16(f"{layer}.attn.kv_norm", 128)
        made |= {f"{layer}.hc_{of}_{part}": ("F32", (32,)) for of in BLOCKS for part in HYPER}
        made |= {
            f"{layer}.attn.attn_sink": ("F32", (32,)),
            f"{layer}.ffn.gate.bias": ("F32", (2,)),
        }
        for part in ATTENTION:
            shape = (128, 128) if part == "wq_b" else (128, 256)
            made |= block_fp8(f"{layer}.attn.{part}", scale, dtype, shape)
        for part in EXPERT:
            shape = (256, 128) if part == "w2" else (128, 256)
            made |= block_fp8(f"{layer}.ffn.shared_experts.{part}", scale, dtype, shape)
            for number in range(2):
                name = f"{layer}.ffn.experts.{number}.{part}"
                made |= mxfp4(name) if layer == "mtp.0" else experts(name)
        made |= bf16(f"{layer}.ffn.gate", 2, 256)
    return made


HYBRID = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "weight_block_size": [128, 128],
    "group_size": 16,
    "ignore": ["*.attn.*", "*.ffn.shared_experts.*", "head", "mtp.*"],
    "moe_quant_algo": "NVFP4",
} | mixed({})


READ = {
    "compress_ratios": [0],
    "compress_rope_theta": 10000,
    "hc_eps": 1e-6,
    "hc_mult": 4,
    "hc_sinkhorn_iters": 20,
    "index_head_dim": 128,
    "index_n_heads": 1,
    "index_topk": 512,
    "scoring_func": "sqrtsoftplus",
    "o_groups": 1,
    "o_lora_rank": 128,
    "topk_method": "noaux_tc",
}
"""Settings without which SGLang stops."""


def hybrid(directory: Path, tensors: Shapes, config: dict[str, Any] | None = None) -> Path:
    """ModelOpt's own file next to a config.json that is still that of the model."""
    write_checkpoint(
        directory,
        tensors,
        HYBRID | {"quantized_layers": {"layers.0.ffn.experts": LISTED}} | (config or {}),
        architecture="DeepseekV4ForCausalLM",
        extra_config={
            "model_type": "deepseek_v4",
            "expert_dtype": "fp4",
            "num_hidden_layers": 1,
            "num_nextn_predict_layers": 1,
            "n_routed_experts": 2,
            "vocab_size": 32,
            "hidden_size": 256,
            "moe_intermediate_size": 128,
            "q_lora_rank": 128,
            "head_dim": 128,
            "num_attention_heads": 1,
        }
        | READ,
    )
    own = mixed({"layers.0.ffn.experts": "NVFP4"}, exclude_modules=HYBRID["ignore"], group_size=16)
    (directory / "hf_quant_config.json").write_text(json.dumps({"quantization": own}, indent=1))
    return directory


@pytest.mark.parametrize("dtype", ["F8_E8M0", "F32"])
@pytest.mark.parametrize("scale", ["scale", "weight_scale_inv"])
def test_a_hybrid_loads_as_it_is(tmp_path: Path, call: Call, scale: str, dtype: str) -> None:
    directory = hybrid(tmp_path / "v4", deepseek_v4(scale, dtype))
    assert check(directory) == ()
    assert {release: got.answer for release, got in ask(directory, NEWEST).items()} == {
        "vllm==0.33.0": "yes",
        "sglang==0.5.23": "yes",
    }
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    call("rewrite", directory, "--from-tensors")
    assert {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()} == before


def test_a_hybrid_on_releases_before_it(tmp_path: Path) -> None:
    directory = hybrid(tmp_path, deepseek_v4())
    older = ask(directory, ("vllm==0.20.0", "vllm==0.24.0", "sglang==0.5.12", "sglang==0.5.14"))
    assert [got.answer for got in older.values()] == ["no", "yes", "no", "yes"]


@pytest.mark.parametrize(
    ("change", "experts", "answers"),
    [
        ({"moe_quant_algo": None}, nvfp4, ("no", "no")),
        ({"moe_quant_algo": None}, mxfp4, ("yes", "yes")),
        ({}, mxfp4, ("no", "no")),
        ({"group_size": None}, nvfp4, ("yes", "no")),
        ({"ignore": ["*.experts"]}, nvfp4, ("yes", "no")),
        ({"weight_block_size": None}, nvfp4, ("unknown", "unknown")),
        ({"modules_to_not_convert": ["lm_head"]}, nvfp4, ("unknown", "unknown")),
    ],
)
def test_which_fields_describe_the_experts(
    tmp_path: Path, change: dict[str, Any], experts: Any, answers: tuple[str, str]
) -> None:
    got = ask(hybrid(tmp_path, deepseek_v4(experts=experts), change), NEWEST)
    assert tuple(answer.answer for answer in got.values()) == answers


def test_a_layer_of_the_source_that_was_unquantized(tmp_path: Path) -> None:
    tensors = deepseek_v4()
    del tensors["layers.0.attn.wo_b.scale"]
    tensors |= bf16("layers.0.attn.wo_b")
    got = ask(hybrid(tmp_path, tensors), NEWEST)
    assert [answer.answer for answer in got.values()] == ["no", "no"]


def test_native_layers_under_metadata_that_should_name_them(tmp_path: Path) -> None:
    """Without a config.json of the source nothing says that they are quantized."""
    tensors = block_fp8("model.layers.0.mlp.up_proj") | nvfp4("model.layers.0.mlp.down_proj")
    directory = write_checkpoint(
        tmp_path, tensors, mixed({"model.layers.0.mlp.down_proj": "NVFP4"})
    )
    assert [f.code for f in check(directory)] == ["CKF201"]


def minimax_m3(scale: str) -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    layer = "model.layers.0"
    for norm in ("input_layernorm", "post_attention_layernorm"):
        made |= bf16(f"{layer}.{norm}", 32)
    for norm in ("q_norm", "k_norm"):
        made |= bf16(f"{layer}.self_attn.{norm}", 32)
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= mxfp8(f"{layer}.self_attn.{part}", scale)
    for number in range(2):
        for part in EXPERT:
            made |= nvfp4(f"{layer}.block_sparse_moe.experts.{number}.{part}")
    return made | bf16(f"{layer}.block_sparse_moe.gate", 2, 32)


@pytest.mark.parametrize(
    ("scale", "answers"), [("weight_scale_inv", ("yes", "yes")), ("weight_scale", ("yes", "no"))]
)
def test_scales_of_mxfp8_by_the_name_that_the_class_reads(
    tmp_path: Path, scale: str, answers: tuple[str, str]
) -> None:
    entries = dict.fromkeys(
        (f"model.layers.0.self_attn.{p}" for p in ("q_proj", "k_proj", "v_proj", "o_proj")), "MXFP8"
    )
    quantization = mixed(
        entries | {"model.layers.0.block_sparse_moe.experts": "NVFP4"},
        quant_method="modelopt",
        kv_cache_quant_algo="FP8",
        ignore=["lm_head", "*.gate"],
    )
    directory = write_checkpoint(
        tmp_path,
        minimax_m3(scale),
        quantization,
        architecture="MiniMaxM3SparseForCausalLM",
        extra_config={
            "num_hidden_layers": 1,
            "num_local_experts": 2,
            "use_qk_norm": True,
            "vocab_size": 32,
        },
    )
    assert check(directory) == ()
    assert tuple(got.answer for got in ask(directory, NEWEST).values()) == answers


def test_mxfp8_scales_by_another_name_where_the_class_does_not_know_it(tmp_path: Path) -> None:
    """Llama on vLLM has a parameter `weight_scale` only."""
    layer = "model.layers.0"
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= mxfp8(f"{layer}.self_attn.{part}", "weight_scale_inv")
    directory = write_checkpoint(
        tmp_path,
        made,
        {"quant_method": "modelopt", "quant_algo": "MXFP8", "ignore": ["lm_head"]},
    )
    assert ask(directory, NEWEST[:1])["vllm==0.33.0"].answer == "no"
