"""Tensors without a module and modules without a tensor, and what a user would see of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.loads import Answer, Effect, Loads
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, bf16, fp8, nvfp4, write_checkpoint
from tests.conftest import DATA, Call, load

FP8 = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
NVFP4 = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "group_size": 16,
    "ignore": ["lm_head", "*.mlp.gate"],
}
SIZES = {"num_hidden_layers": 2, "vocab_size": 32, "tie_word_embeddings": False}
BOTH = ("vllm", "sglang")


def attention(layer: str) -> Shapes:
    made: Shapes = {}
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= fp8(f"{layer}.self_attn.{part}")
    for part in ("input_layernorm", "post_attention_layernorm"):
        made |= bf16(f"{layer}.{part}", 32)
    return made


def llama() -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    for number in range(2):
        layer = f"model.layers.{number}"
        made |= attention(layer)
        for part in ("gate_proj", "up_proj", "down_proj"):
            made |= fp8(f"{layer}.mlp.{part}")
    return made


def qwen_moe(experts: int = 4) -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    layer = "model.layers.0"
    made |= {name: shape for name, shape in attention(layer).items() if "proj" not in name}
    for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made |= nvfp4(f"{layer}.self_attn.{part}")
    for part in ("q_norm", "k_norm"):
        made |= bf16(f"{layer}.self_attn.{part}", 32)
    for number in range(experts):
        for part in ("gate_proj", "up_proj", "down_proj"):
            made |= nvfp4(f"{layer}.mlp.experts.{number}.{part}")
    return made | bf16(f"{layer}.mlp.gate", experts, 32)


def loads(
    directory: Path,
    runtime: str,
    tensors: Shapes,
    config: dict[str, Any] | None = None,
    *,
    architecture: str = "LlamaForCausalLM",
    quantization: dict[str, Any] | None = None,
) -> Loads:
    write_checkpoint(
        directory,
        tensors,
        FP8 if quantization is None else quantization,
        architecture=architecture,
        extra_config=SIZES | (config or {}),
    )
    version = {"vllm": "0.33.0", "sglang": "0.5.23"}[runtime]
    return judge(load(directory), Target(runtime, version, version)).loads


def told(found: Loads) -> str:
    return " | ".join(map(str, found.reasons))


@pytest.mark.parametrize("runtime", BOTH)
def test_what_is_whole_loads(tmp_path: Path, runtime: str) -> None:
    found = loads(tmp_path, runtime, llama())
    assert found == Loads(Answer.YES)
    assert found.effect is None


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("lost", "config", "reason"),
    [
        ("model.norm.weight", {}, "model.norm is not stored"),
        ("lm_head.weight", {}, "the head is not stored"),
        ("model.layers.1.", {}, "num_hidden_layers is 2, but layer 1 is not stored"),
        ("nothing", {"num_hidden_layers": 3}, "num_hidden_layers is 3, but layer 2 is not stored"),
    ],
)
def test_weights_that_nothing_fills(
    tmp_path: Path, runtime: str, lost: str, config: dict[str, Any], reason: str
) -> None:
    left = {name: shape for name, shape in llama().items() if not name.startswith(lost)}
    found = loads(tmp_path, runtime, left, config)
    assert found.answer is Answer.NO
    assert reason in told(found)
    assert found.effect is Effect.WRONG_WEIGHTS


O_PROJ = "model.layers.1.self_attn.o_proj"


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (f"{O_PROJ}.", f"{O_PROJ} is not stored"),
        ("model.layers.0.mlp.up_proj.", "model.layers.0.mlp.up_proj is not stored"),
    ],
)
def test_a_module_that_its_block_needs(
    tmp_path: Path, runtime: str, lost: str, reason: str
) -> None:
    left = {name: shape for name, shape in llama().items() if not name.startswith(lost)}
    found = loads(tmp_path, runtime, left)
    assert reason in told(found)
    assert found.effect is Effect.WRONG_WEIGHTS


@pytest.mark.parametrize("runtime", BOTH)
def test_scales_without_a_weight(tmp_path: Path, runtime: str) -> None:
    left = llama()
    del left[f"{O_PROJ}.weight"]
    assert f"{O_PROJ} has scales and no weight" in told(loads(tmp_path, runtime, left))


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("experts.2.up_proj", "", "model.layers.0.mlp.experts.2.up_proj is not stored"),
        ("experts.2.up_proj", "experts.2.xup_proj", "experts.0.xup_proj is not stored"),
        ("experts.2.up_proj", "experts.up_proj.2", "has no parameter for"),
    ],
)
def test_experts_of_a_bank_hold_the_same_modules(
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
    assert reason in told(found)


@pytest.mark.parametrize(("runtime", "effect"), list(zip(BOTH, Effect, strict=True)))
@pytest.mark.parametrize(
    ("more", "config", "reason"),
    [
        (bf16("model.embedding"), {}, "builds no module for model.embedding"),
        ({"model.layers.0.self_attn.o_proj.output_scale": ("F32", ())}, {}, "output_scale"),
        ({"model.layers.0.mlp.up_proj.weight_quantizer._amax": ("F32", ())}, {}, "quantizer"),
        (
            {"model.layers.0.self_attn.q_proj.bias": ("BF16", (32,))},
            {"attention_bias": False},
            "has no parameter for model.layers.0.self_attn.q_proj.bias",
        ),
        ({}, {"num_hidden_layers": 1}, "num_hidden_layers is 1, but layer 1 is stored too"),
    ],
)
def test_tensors_that_no_module_takes(
    tmp_path: Path,
    runtime: str,
    effect: Effect,
    more: Shapes,
    config: dict[str, Any],
    reason: str,
) -> None:
    found = loads(tmp_path, runtime, llama() | more, config)
    assert reason in told(found)
    assert found.effect is effect


@pytest.mark.parametrize("runtime", BOTH)
def test_a_bias_that_config_json_says_nothing_of_is_taken(tmp_path: Path, runtime: str) -> None:
    more: Shapes = {"model.layers.0.self_attn.q_proj.bias": ("BF16", (32,))}
    assert loads(tmp_path, runtime, llama() | more).answer is Answer.YES


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("table", ["model.embed_tokens", "lm_head"])
def test_rows_are_those_of_the_vocabulary(tmp_path: Path, runtime: str, table: str) -> None:
    found = loads(tmp_path, runtime, llama() | bf16(table, 30, 32))
    assert f"{table} has 30 rows, but vocab_size is 32" in told(found)
    assert found.effect is Effect.STOPS


def test_a_tied_head_that_is_stored_is_left_out_by_sglang(tmp_path: Path) -> None:
    config = {"tie_word_embeddings": True}
    assert loads(tmp_path / "v", "vllm", llama(), config).answer is Answer.YES
    found = loads(tmp_path / "s", "sglang", llama(), config)
    assert "does not load lm_head" in told(found)


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("announced", "reason"),
    [
        (4, ""),
        (5, "experts has 4 experts, but config.json declares 5"),
        (3, "experts has expert 3, but config.json declares 3"),
    ],
)
def test_as_many_experts_as_config_json_announces(
    tmp_path: Path, runtime: str, announced: int, reason: str
) -> None:
    config = {"num_hidden_layers": 1, "num_experts": announced}
    found = loads(
        tmp_path,
        runtime,
        qwen_moe(),
        config,
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4,
    )
    assert (found.answer is Answer.YES) == (announced == 4)
    assert reason in told(found)
    if reason:
        assert f"mlp.gate has 4 rows, but config.json declares {announced} experts" in told(found)


KV: Shapes = {"model.layers.0.self_attn.k_proj.k_scale": ("F32", ())}
KV_FP8 = {"type": "float", "num_bits": 8, "dynamic": False}


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("scheme", [None, "FP8", KV_FP8])
def test_scales_of_a_kv_cache_are_loaded_or_not_needed(
    tmp_path: Path, runtime: str, scheme: object
) -> None:
    # SGLang overlooks a scheme that is a string: the cache stays in BF16, which needs no scales.
    quantization = FP8 | {"kv_cache_scheme": scheme}
    found = loads(tmp_path, runtime, llama() | KV, quantization=quantization)
    assert found.answer is Answer.YES


@pytest.mark.parametrize(("runtime", "lost"), [("vllm", False), ("sglang", True)])
def test_scales_of_a_quantized_cache_that_the_class_does_not_load(
    tmp_path: Path, runtime: str, lost: bool
) -> None:
    found = loads(
        tmp_path,
        runtime,
        qwen_moe() | KV,
        {"num_hidden_layers": 1, "num_experts": 4},
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4 | {"kv_cache_scheme": KV_FP8},
    )
    assert ("does not load" in told(found)) == lost


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
    assert reason in told(found)
    assert found.effect is Effect.STOPS


@pytest.mark.parametrize("runtime", BOTH)
def test_fp8_needs_its_input_scale(tmp_path: Path, runtime: str) -> None:
    left = llama()
    del left["model.layers.0.self_attn.k_proj.input_scale"]
    found = loads(tmp_path, runtime, left)
    (reason,) = found.reasons
    assert reason.module == "model.layers.0.self_attn.qkv_proj"
    assert "k_proj has no input_scale" in reason.text
    assert found.effect is Effect.WRONG_WEIGHTS


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


def test_a_layer_of_another_kind_than_the_class_builds(tmp_path: Path) -> None:
    """SGLang builds experts in every layer of Qwen3 MoE, whatever mlp_only_layers names."""
    dense = {k.replace("mlp.experts.0", "mlp"): v for k, v in qwen_moe(1).items()}
    dense.pop("model.layers.0.mlp.gate.weight")
    more = {"num_hidden_layers": 1, "mlp_only_layers": [0]}
    asked: dict[str, Any] = {"architecture": "Qwen3MoeForCausalLM", "quantization": NVFP4}
    assert loads(tmp_path / "v", "vllm", dense, more, **asked).answer is Answer.YES
    found = loads(tmp_path / "s", "sglang", dense, more, **asked)
    assert "builds no module for model.layers.0.mlp.gate_proj" in told(found)


def test_values_of_config_json_that_a_class_does_not_know(tmp_path: Path) -> None:
    config = {"layers_block_type": ["linear_attention", "mamba"]}
    asked: dict[str, Any] = {"architecture": "NemotronHForCausalLM"}
    found = loads(tmp_path / "s", "sglang", llama(), config, **asked)
    assert "layers_block_type of config.json holds linear_attention" in told(found)
    assert "layers_block_type of" not in told(
        loads(tmp_path / "v", "vllm", llama(), config, **asked)
    )


def test_it_is_a_finding_and_the_answer_of_the_first_screen(tmp_path: Path, call: Call) -> None:
    left = llama()
    del left["model.norm.weight"]
    directory = write_checkpoint(tmp_path / "c", left, FP8, extra_config=SIZES)
    done = call("check", directory, "--runtime", "vllm==0.33.0")
    assert done.returncode == 1
    answer = "no, loads and computes with the wrong weights: leaves weights uninitialised"
    assert f"  vllm 0.33.0  {answer}: model.norm is not stored\n" in done.stdout
    assert "\nvllm 0.33.0: leaves weights uninitialised: model.norm is not stored (CKF703)\n" in (
        done.stdout
    )
    assert "error CKF703" in call("check", directory, "--runtime", "vllm==0.33.0", "-v").stdout
    screen = call("check", directory).stdout
    assert f"vllm 0.17.1 to 0.33.0          {answer}" in screen


LATENT = {"q_lora_rank": 32, "kv_lora_rank": 32, "num_hidden_layers": 1}


@pytest.mark.parametrize("runtime", BOTH)
def test_a_packed_table_holds_what_the_class_adds_by_config(tmp_path: Path, runtime: str) -> None:
    """NVIDIA's DeepSeek V3.1 excludes the members; vLLM's class adds the packed name itself."""
    layer = "model.layers.0"
    members = [f"{layer}.self_attn.{part}" for part in ("q_a_proj", "kv_a_proj_with_mqa")]
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    others = [f"{layer}.self_attn.{part}" for part in ("q_b_proj", "kv_b_proj", "o_proj")]
    for member in (*members, *others):
        made |= bf16(member)
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ["self_attn.q_a_layernorm", "self_attn.kv_a_layernorm"]
    for norm in norms:
        made |= bf16(f"{layer}.{norm}", 32)
    for part in ("gate_proj", "up_proj", "down_proj"):
        made |= nvfp4(f"{layer}.mlp.{part}")
    quantization = NVFP4 | {"ignore": ["lm_head", *members, *others]}
    told = loads(
        tmp_path,
        runtime,
        made,
        LATENT,
        architecture="DeepseekV3ForCausalLM",
        quantization=quantization,
    )
    assert told.answer is Answer.YES


DRAFTED = {"num_nextn_predict_layers": 1}


@pytest.mark.parametrize(
    ("runtime", "version", "architecture", "needed"),
    [
        ("vllm", "0.33.0", "NemotronH_Nano_VL_V2", True),
        ("vllm", "0.28.0", "NemotronH_Nano_VL_V2", False),
        ("sglang", "0.5.23", "NemotronH_Nano_VL_V2", False),
        ("sglang", "0.5.23", "NemotronH_Omni_Reasoning_V3", True),
        ("sglang", "0.5.17", "NemotronH_Omni_Reasoning_V3", False),
    ],
)
def test_a_module_that_the_class_builds_where_drafts_are_announced(
    tmp_path: Path, runtime: str, version: str, architecture: str, needed: bool
) -> None:
    write_checkpoint(
        tmp_path,
        fp8("language_model.backbone.layers.0.mixer.up_proj"),
        FP8,
        architecture=architecture,
        extra_config={"llm_config": DRAFTED},
    )
    found = judge(load(tmp_path), Target(runtime, version, version)).loads
    assert ("vision_projector.vision_final_layernorm is not stored" in told(found)) == needed


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("model.layers.1.mlp.up_proj.weight", ("F8_E4M3", (48, 32)), "is 48 x 32"),
        ("model.layers.0.self_attn.k_proj.weight", ("F8_E4M3", (16, 32)), "makes it 32 x 32"),
        ("model.layers.0.input_layernorm.weight", ("BF16", (30,)), "is 30, but config.json"),
        ("model.layers.0.self_attn.q_proj.bias", ("BF16", (30,)), "its weight has 32 rows"),
        ("model.layers.1.input_layernorm.weight", ("F8_E4M3", (32,)), "no scale belongs to it"),
        ("model.layers.1.mlp.up_proj.k_scale", ("F32", ()), "has no parameter for"),
    ],
)
def test_sizes_and_dtypes_are_those_that_config_json_makes(
    tmp_path: Path, runtime: str, name: str, shape: tuple[str, tuple[int, ...]], reason: str
) -> None:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = heads | {"hidden_size": 32, "intermediate_size": 32}
    assert loads(tmp_path / "whole", runtime, llama(), config).answer is Answer.YES
    found = loads(tmp_path / "broken", runtime, llama() | {name: shape}, config)
    assert reason in told(found)


def test_a_narrow_mlp_is_padded_by_sglang_only(tmp_path: Path) -> None:
    config = {"hidden_size": 32, "intermediate_size": 64}
    assert loads(tmp_path / "s", "sglang", llama(), config).answer is Answer.YES
    assert "makes it 64 x 32" in told(loads(tmp_path / "v", "vllm", llama(), config))


def test_what_a_switch_of_config_json_promises(tmp_path: Path) -> None:
    config = {"mlp_bias": True}
    found = loads(tmp_path / "v", "vllm", llama(), config)
    assert "model.layers.0.mlp.gate_proj.bias is not stored" in told(found)
    # SGLang's Llama has no bias there, whatever config.json says.
    assert loads(tmp_path / "s", "sglang", llama(), config).answer is Answer.YES


@pytest.mark.parametrize("layers", [5, 6])
def test_layers_that_config_json_counts_are_those_of_the_language_model(
    tmp_path: Path, layers: int
) -> None:
    """The projector of Nano VL is numbered too: its modules are not layers."""
    shutil.copytree(DATA / "nanovl-mixed", tmp_path / "c")
    file = tmp_path / "c" / "config.json"
    config = json.loads(file.read_text())
    del config["llm_config"]["layers_block_type"]
    config["llm_config"]["num_hidden_layers"] = layers
    file.write_text(json.dumps(config))
    verdict = judge(load(tmp_path / "c"), Target("vllm", "0.33.0", "0.33.0"))
    expected = [] if layers == 5 else ["num_hidden_layers is 6, but layer 5 is not stored"]
    assert [r.text.partition(": ")[2] for r in verdict.loads.reasons] == expected


def test_a_vision_config_that_sglang_asserts(tmp_path: Path) -> None:
    shutil.copytree(DATA / "nanovl-mixed", tmp_path / "c")
    file = tmp_path / "c" / "config.json"
    config = json.loads(file.read_text())
    del config["vision_config"], config["llm_config"]["layers_block_type"]
    file.write_text(json.dumps(config))
    verdict = judge(load(tmp_path / "c"), Target("sglang", "0.5.23", "0.5.23"))
    (reason,) = (r for r in verdict.loads.reasons if r.effect is Effect.STOPS)
    assert reason.text == "stops: config.json has no vision_config, which this architecture needs"
