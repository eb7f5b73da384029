"""Findings about names in metadata of other quantizers than ModelOpt."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from tests.builders import Shapes, bf16, write_checkpoint
from tests.conftest import DATA, SHARED
from tests.runtimes.whole_models import (
    CONFIG,
    GPTQ,
    LINEARS,
    METADATA,
    NORMS,
    RELEASE,
    model,
)

EXPORTS = SHARED / "quantizers" / "fixtures"
EVERY = tuple(f"model.layers.0.{name}" for name in LINEARS)


def packed(name: str) -> Shapes:
    """A weight of compressed-tensors in 4-bit groups of 32."""
    return {
        f"{name}.weight_packed": ("I32", (64, 8)),
        f"{name}.weight_scale": ("BF16", (64, 2)),
        f"{name}.weight_shape": ("I64", (2,)),
    }


def blocks(name: str) -> Shapes:
    """A weight of fine-grained FP8 in one block."""
    return {f"{name}.weight": ("F8_E4M3", (64, 64)), f"{name}.weight_scale_inv": ("F32", (1, 1))}


def groups(*targets: str, ignore: tuple[str, ...] = ("lm_head",)) -> dict[str, Any]:
    """Metadata of compressed-tensors."""
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group",
               "group_size": 32}  # fmt: skip
    group = {"targets": list(targets), "weights": weights}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": {"group_0": group}, "ignore": list(ignore)}  # fmt: skip


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [64, 64]}
ROUND = {"quant_method": "auto-round", "bits": 4, "group_size": 64, "sym": True,
         "data_type": "int", "packing_format": "auto_round:auto_gptq"}  # fmt: skip
QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
PAIR = ("mlp.gate_proj", "mlp.up_proj")


def awq(name: str) -> Shapes:
    return {
        f"{name}.qweight": ("I32", (64, 8)),
        f"{name}.qzeros": ("I32", (1, 8)),
        f"{name}.scales": ("F16", (1, 64)),
    }


def found(directory: Path) -> list[tuple[str, str]]:
    """(code, subject) of every finding about names, by the rules."""
    findings = check(directory, runtimes=[RELEASE]).findings
    return [(f.code, f.subject) for f in findings if f.code < "CKF7"]


CASES: dict[str, tuple[dict[str, Any], Any, tuple[str, ...], str, str]] = {
    "an expression for a member meets the packed module": (
        groups("Linear", ignore=("lm_head", "re:.*up_proj$")), packed, (),
        "CKF205", "model.layers.0.mlp.up_proj",
    ),
    "a rule of GPTQ for v_proj swallows qkv_proj": (
        METADATA | {"dynamic": {"+:.*v_proj": {"bits": 8}}}, GPTQ, (),
        "CKF303", "model.layers.0.self_attn.v_proj",
    ),
    "a part of a name that a release compares as a whole": (
        FP8 | {"modules_to_not_convert": ["down_proj"]}, blocks, ("mlp.down_proj",),
        "CKF104", "down_proj",
    ),
    "a name that is not there": (
        groups("Linear", ignore=("lm_head", "model.layers.0.self_atn.q_proj")), packed, (),
        "CKF105", "model.layers.0.self_atn.q_proj",
    ),
    "a target that meets nothing": (
        groups("Linear", "re:.*language_model.*proj"), packed, (),
        "CKF105", "re:.*language_model.*proj",
    ),
    "an expression that is escaped twice": (
        ROUND | {"extra_config": {r".*self_attn\\.o_proj.*": {"bits": 16}}}, GPTQ, (),
        "CKF105", r".*self_attn\\.o_proj.*",
    ),
    "members with different schemes": (
        FP8 | {"modules_to_not_convert": ["model.layers.0.mlp.up_proj"]}, blocks, PAIR,
        "CKF111", "model.layers.0.mlp.gate_up_proj",
    ),
    "nothing leaves it out": (
        groups("Linear"), packed, ("mlp.down_proj",), "CKF206", "model.layers.0.mlp.down_proj",
    ),
    "a name quantizes what is not": (
        groups("re:.*proj"), packed, ("mlp.down_proj",),
        "CKF302", "model.layers.0.mlp.down_proj",
    ),
    "nothing lists it": (
        groups(*(n for n in EVERY if "o_proj" not in n)), packed, (),
        "CKF201", "model.layers.0.self_attn.o_proj",
    ),
    "a name leaves it out": (
        ROUND | {"extra_config": {"model.layers.0.mlp.down_proj": {"bits": 16}}}, GPTQ, (),
        "CKF205", "model.layers.0.mlp.down_proj",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_with_a_name_is_reported(name: str, tmp_path: Path) -> None:
    metadata, linear, plain, code, subject = CASES[name]
    reported = found(model(tmp_path, metadata, linear, plain))
    assert (code, subject) in reported, reported


@pytest.mark.parametrize(
    ("export", "code", "subject"),
    [
        ("fp8-qwen25vl-block", "CKF110", "model.visual"),
        ("ct-qwen3vl-nvfp4a16", "CKF101", "re:.*language_model.layers.*proj"),
        ("syn-gptq-qwen3vl-dynamic-anchored", "CKF101",
         r"+:model\.language_model\.layers\.0\.mlp\..*"),
        ("ar-llama-mixed-regex", "CKF105", r".*self_attn\\.o_proj.*"),
        ("ar-qwen25vl-w4a16-visual", "CKF104", "model.visual.blocks.0"),
        ("ar-deepseekv3-w4a16", "CKF111", "model.layers.0.self_attn.fused_qkv_a_proj"),
        ("fp8-llama-block-skip", "CKF104", "down_proj"),
        ("qk-qwen3moe-mxfp4", "CKF206", "model.layers.0.mlp.gate"),
    ],
)  # fmt: skip
def test_faults_of_exports_have_a_name(export: str, code: str, subject: str) -> None:
    folders = [f / export for f in (DATA / "quantizers", EXPORTS) if (f / export).is_dir()]
    if not folders:
        pytest.skip("../shared is not here")
    assert (code, subject) in found(folders[0])


def fused_experts(tmp_path: Path, *, skipped: tuple[str, ...]) -> Path:
    """A Qwen3 MoE of one layer in FP8, whose experts are two BF16 tensors and whose router too."""
    layer = "model.layers.0."
    tensors: Shapes = {**bf16("model.embed_tokens", 64, 64), **bf16("lm_head", 64, 64)}
    tensors |= bf16(f"{layer}mlp.gate", 4, 64)
    tensors[f"{layer}mlp.experts.gate_up_proj"] = ("BF16", (4, 128, 64))
    tensors[f"{layer}mlp.experts.down_proj"] = ("BF16", (4, 64, 64))
    for part in "qkvo":
        tensors |= blocks(f"{layer}self_attn.{part}_proj")
    norms = (*NORMS, "self_attn.q_norm", "self_attn.k_norm")
    for norm in ("model.norm", *(layer + n for n in norms)):
        tensors[f"{norm}.weight"] = ("BF16", (64,))
    sizes = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 64, "num_experts": 4,
             "num_experts_per_tok": 2, "moe_intermediate_size": 64, "decoder_sparse_step": 1,
             "mlp_only_layers": [], "model_type": "qwen3_moe"}  # fmt: skip
    metadata = FP8 | {"modules_to_not_convert": ["lm_head", "model.layers.0.mlp.gate", *skipped]}
    return write_checkpoint(
        tmp_path / "model", tensors, metadata, architecture="Qwen3MoeForCausalLM",
        extra_config=CONFIG | sizes,
    )  # fmt: skip


def test_fused_experts_in_bf16_have_to_be_left_out(tmp_path: Path) -> None:
    experts = "model.layers.0.mlp.experts"
    assert check(fused_experts(tmp_path, skipped=(experts,)), runtimes=[RELEASE]).loads == "yes"
    directory = fused_experts(tmp_path / "wrong", skipped=())
    assert ("CKF206", experts) in found(directory)
    checked = check(directory, runtimes=[RELEASE])
    assert checked.loads == "no"
    assert checked.advised is not None
    assert [answer.loads for answer in checked.advised.then] == ["yes"]


def layers(tmp_path: Path, *, left_out: tuple[int, ...], skipped: list[str]) -> Path:
    """A Llama of 21 layers with AWQ, of which some layers are in float."""
    tensors: Shapes = {**bf16("model.embed_tokens", 64, 64), **bf16("lm_head", 64, 64)}
    tensors["model.norm.weight"] = ("BF16", (64,))
    for number in range(21):
        layer = f"model.layers.{number}."
        for name in LINEARS:
            made = bf16(layer + name, 64, 64) if number in left_out else awq(layer + name)
            tensors |= made
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{layer}{norm}.weight"] = ("BF16", (64,))
    sizes = {"num_hidden_layers": 21, "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64}
    metadata = AWQ | {"modules_to_not_convert": skipped}
    return write_checkpoint(tmp_path / "model", tensors, metadata, extra_config=sizes)


def test_layer_2_is_the_beginning_of_layer_20(tmp_path: Path) -> None:
    assert found(layers(tmp_path, left_out=(2, 20), skipped=["model.layers.2"])) == []
    reported = found(layers(tmp_path / "wrong", left_out=(2,), skipped=["model.layers.2"]))
    assert ("CKF104", "model.layers.2") in reported


def test_a_stale_second_file_and_one_of_another_quantizer_are_reported(tmp_path: Path) -> None:
    metadata = ROUND | {"extra_config": {"model.layers.0.mlp.down_proj": {"bits": 16}}}
    directory = model(tmp_path, metadata, GPTQ, ("mlp.down_proj",))
    (directory / "quantization_config.json").write_text(json.dumps(metadata))
    assert found(directory) == []
    (directory / "quantization_config.json").write_text(json.dumps(ROUND))
    (directory / "quantize_config.json").write_text(json.dumps(METADATA))
    assert found(directory) == [
        ("CKF501", "quantization_config.json"), ("CKF508", "quantize_config.json"),
    ]  # fmt: skip
