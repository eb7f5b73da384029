"""Tensors that no module or parameter of the class takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.runtimes.learned.parameters import parameters_of
from ckptfix.runtimes.loads import Answer, Effect
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, bf16, write_checkpoint
from tests.conftest import DATA, load
from tests.runtimes.structure.models import (
    BOTH,
    FP8,
    NVFP4,
    llama,
    loads,
    qwen_moe,
    reasons_of,
)


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
def test_tensors_without_a_module_or_parameter(
    tmp_path: Path,
    runtime: str,
    effect: Effect,
    more: Shapes,
    config: dict[str, Any],
    reason: str,
) -> None:
    found = loads(tmp_path, runtime, llama() | more, config)
    assert reason in reasons_of(found)
    assert found.effect is effect


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("module", "role"),
    [
        ("model.norm", "input_scale"),
        ("model.norm", "bias"),
        ("model.layers.0.input_layernorm", "k_scale"),
        ("model.embed_tokens", "input_scale"),
        ("model.embed_tokens", "bias"),
        ("lm_head", "input_scale"),
        ("lm_head", "bias"),
        ("lm_head", "zeros"),
        ("model.layers.0.self_attn.q_proj", "k_scale"),
        ("model.layers.0.mlp.up_proj", "e_score_correction_bias"),
    ],
)
def test_a_parameter_that_a_module_never_has(
    tmp_path: Path, runtime: str, module: str, role: str
) -> None:
    more: Shapes = {f"{module}.{role}": ("F32", (32,) if "bias" in role else ())}
    found = loads(tmp_path, runtime, llama() | more)
    assert f"has no parameter for {module}.{role}" in reasons_of(found)


@pytest.mark.parametrize(("runtime", "effect"), list(zip(BOTH, Effect, strict=True)))
@pytest.mark.parametrize(
    "tensor",
    [
        "model.layers.0.self_attn.k_cache_scale",
        "model.layers.0.self_attn.q_amax",
        "model.layers.0.self_attn.prob_output_scale",
        "model.layers.0.self_attn.masked_bias",
        "model.layers.0.self_attn.sinks",
        "step",
    ],
)
def test_a_parameter_that_no_module_has(
    tmp_path: Path, runtime: str, effect: Effect, tensor: str
) -> None:
    """vLLM 0.33.0: `There is no module or parameter named ...`; SGLang 0.5.23 drops them."""
    found = loads(tmp_path, runtime, llama() | {tensor: ("F32", ())})
    assert reasons_of(found) == f"has no parameter for {tensor}"
    assert found.effect is effect


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("role", ["q_scale", "kv_scale", "k_zero_point"])
def test_a_parameter_of_attention_over_a_quantized_cache(
    tmp_path: Path, runtime: str, role: str
) -> None:
    more: Shapes = {f"model.layers.0.self_attn.{role}": ("F32", ())}
    assert loads(tmp_path, runtime, llama() | more).answer is Answer.YES


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize(
    ("architecture", "taken", "odd"),
    [
        ("GptOssForCausalLM", "sinks", "A_log"),
        ("Qwen3NextForCausalLM", "dt_bias", "sinks"),
        ("NemotronHForCausalLM", "D", "sinks"),
        ("Step3p5ForCausalLM", "router_bias", "sinks"),
    ],
)
def test_parameters_that_a_class_was_seen_to_take(
    runtime: str, architecture: str, taken: str, odd: str
) -> None:
    known = parameters_of(runtime, (architecture,))
    assert known is not None
    assert (taken in known, odd in known) == (True, False)


@pytest.mark.parametrize("runtime", BOTH)
@pytest.mark.parametrize("role", ["input_scale", "pre_quant_scale"])
def test_scales_next_to_an_unquantized_router(tmp_path: Path, runtime: str, role: str) -> None:
    more: Shapes = {f"model.layers.0.mlp.gate.{role}": ("F32", ())}
    found = loads(
        tmp_path,
        runtime,
        qwen_moe() | more,
        {"num_hidden_layers": 1, "num_experts": 4},
        architecture="Qwen3MoeForCausalLM",
        quantization=NVFP4,
    )
    assert f"has no parameter for model.layers.0.mlp.gate.{role}" in reasons_of(found)


@pytest.mark.parametrize(("runtime", "answer"), list(zip(BOTH, ("no", "yes"), strict=True)))
def test_a_scale_by_the_name_that_the_release_gives_it(
    tmp_path: Path, runtime: str, answer: str
) -> None:
    """The parameter of MXFP8 layers is weight_scale in vLLM, weight_scale_inv in SGLang."""
    made: Shapes = {}
    for name, (dtype, shape) in llama().items():
        if name.endswith(".weight_scale"):
            made[f"{name}_inv"] = "U8", (32, 1)
        elif not name.endswith(".input_scale"):
            made[name] = dtype, shape
    found = loads(tmp_path, runtime, made, quantization=FP8 | {"quant_algo": "MXFP8"})
    assert found.answer.value == answer, reasons_of(found)


@pytest.mark.parametrize("runtime", BOTH)
def test_a_scale_of_another_format(tmp_path: Path, runtime: str) -> None:
    more: Shapes = {"model.layers.0.mlp.up_proj.weight_scale_inv": ("F32", (1, 1))}
    found = loads(tmp_path, runtime, llama() | more)
    assert "has no parameter for model.layers.0.mlp.up_proj.weight_scale_inv" in reasons_of(found)


@pytest.mark.parametrize("runtime", BOTH)
def test_a_bias_that_config_json_does_not_ask_for_is_dropped(tmp_path: Path, runtime: str) -> None:
    name = "model.layers.0.self_attn.q_proj.bias"
    more: Shapes = {name: ("BF16", (32,))}
    found = loads(tmp_path / "dropped", runtime, llama() | more)
    assert f"has no parameter for {name}" in reasons_of(found)
    biases: Shapes = {
        name.replace("weight", "bias"): ("BF16", shape[:1])
        for name, (_, shape) in llama().items()
        if "self_attn" in name and name.endswith("_proj.weight")
    }
    config = {"attention_bias": True}
    assert loads(tmp_path / "loaded", runtime, llama() | biases, config).answer is Answer.YES


def test_sglang_does_not_load_a_stored_head_that_is_tied(tmp_path: Path) -> None:
    config = {"tie_word_embeddings": True}
    assert loads(tmp_path / "v", "vllm", llama(), config).answer is Answer.YES
    found = loads(tmp_path / "s", "sglang", llama(), config)
    assert "does not load lm_head" in reasons_of(found)


def test_a_dense_layer_where_the_class_builds_experts(tmp_path: Path) -> None:
    """SGLang builds experts in every layer of Qwen3 MoE, whatever mlp_only_layers lists."""
    dense = {k.replace("mlp.experts.0", "mlp"): v for k, v in qwen_moe(1).items()}
    dense.pop("model.layers.0.mlp.gate.weight")
    more = {"num_hidden_layers": 1, "mlp_only_layers": [0]}
    options: dict[str, Any] = {"architecture": "Qwen3MoeForCausalLM", "quantization": NVFP4}
    assert loads(tmp_path / "v", "vllm", dense, more, **options).answer is Answer.YES
    found = loads(tmp_path / "s", "sglang", dense, more, **options)
    assert "builds no module for model.layers.0.mlp.down_proj" in reasons_of(found)


@pytest.mark.parametrize(
    ("old", "new"), [("model.", "model.language_model."), ("visual.", "model.visual.")]
)
def test_names_of_transformers_5_that_the_loader_of_sglang_does_not_map(
    tmp_path: Path, old: str, new: str
) -> None:
    """Qwen2.5-VL in SGLang 0.5.23: KeyError: 'model.language_model.layers.0.mlp.gate_up_proj'."""
    checkpoint = DATA / "quantizers" / "ar-qwen25vl-w4a16"
    stored = {n: (t.dtype, t.shape) for n, t in load(checkpoint).table.tensors.items()}
    renamed = {new + n.removeprefix(old) if n.startswith(old) else n: t for n, t in stored.items()}
    config = json.loads((checkpoint / "config.json").read_text())
    for number, (tensors, answer) in enumerate(((stored, "yes"), (renamed, "no"))):
        at = write_checkpoint(tmp_path / str(number), tensors, None, extra_config=config)
        found = judge(load(at), Target("sglang", "0.5.23", "0.5.23")).loads
        assert found.answer.value == answer, reasons_of(found)
