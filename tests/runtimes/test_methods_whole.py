"""Whole checkpoints of other quantizers, one fact each: what loads, stops, or is unknown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from ckptfix.runtimes.loads import Answer, Effect
from tests.builders import Shapes, bf16
from tests.conftest import DATA, Call
from tests.rules.test_own_names import AWQ, awq
from tests.runtimes.whole_models import (
    EVERY_LINEAR,
    GPTQ,
    METADATA,
    RELEASE,
    loads,
    model,
)


def test_a_whole_checkpoint_of_gptq_loads(tmp_path: Path) -> None:
    checked, answer = loads(model(tmp_path, METADATA))
    assert answer is Answer.YES, checked.verdicts[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"desc_act": True}, "desc_act, which it no longer supports"),
        ({"bits": 3}, "bits 3 and sym True, which it does not support"),
        ({"sym": None}, "sym None"),
        ({"dynamic": {"+:[": {}}}, "not a valid regular expression"),
        ({"dynamic": None}, None),
        ({"dynamic": []}, "/quantization_config/dynamic is not an object"),
        ({"dynamic": False}, "/quantization_config/dynamic is not an object"),
        ({"quant_method": "bitsandbytes"}, "not a supported method"),
        ({"quant_method": "intel/auto-round"}, "not a supported method"),
    ],
)
def test_metadata_that_the_class_refuses_stop_the_release(
    tmp_path: Path, changes: dict[str, Any], message: str | None
) -> None:
    checked, answer = loads(model(tmp_path, METADATA | changes))
    if message is None:
        assert answer is Answer.YES
        return
    verdict = checked.verdicts[0]
    assert verdict.refused
    assert message in verdict.problem


@pytest.mark.parametrize(
    ("size", "answer"),
    [(64, "yes"), (None, "no"), ("64", "no"), (64.0, "unknown")],
)
def test_a_group_size_of_awq_that_is_no_number_stops_the_release(
    tmp_path: Path, size: object, answer: str
) -> None:
    """vLLM divides the size of a layer by it (`make truth`, seed 1618: null)."""
    checked, loads_ = loads(model(tmp_path, AWQ | {"group_size": size}, awq))
    assert loads_ == answer, checked.verdicts[0]


@pytest.mark.parametrize(
    ("changes", "plain", "wrong"),
    [
        # The expression for q_proj meets no fused name: the layer is built with the default.
        ({"dynamic": {"+:.*q_proj": {"bits": 8}}}, (), ()),
        ({"dynamic": {"+:.*v_proj": {"bits": 8}}}, (), ("qkv_proj",)),
        ({"dynamic": {"-:.*up_proj": {}}}, (), ("gate_up_proj",)),
        ({"modules_in_block_to_quantize": ["q_proj"]}, (), EVERY_LINEAR),
        ({"group_size": 32}, (), EVERY_LINEAR),
        ({}, ("mlp.down_proj",), ()),  # the list is made from the tensors
        ({"modules_in_block_to_quantize": ["proj"]}, ("mlp.down_proj",), ("down_proj",)),
        ({}, ("mlp.up_proj",), ("gate_up_proj",)),
    ],
)  # fmt: skip
def test_what_an_expression_or_a_list_matches_decides(
    tmp_path: Path, changes: dict[str, Any], plain: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    checked, answer = loads(model(tmp_path, METADATA | changes, plain=plain))
    found = {module.name.rpartition(".")[2] for module in checked.verdicts[0].wrong}
    assert found == set(wrong)
    assert (answer is Answer.YES) == (not wrong), checked.verdicts[0].loads


def test_a_bias_of_every_layer_and_an_order_do_no_harm(tmp_path: Path) -> None:
    """AutoGPTQ stores both for every layer; this release reads neither."""

    def linear(name: str) -> Shapes:
        return {**GPTQ(name), f"{name}.bias": ("F16", (64,)), f"{name}.g_idx": ("I32", (64,))}

    directory = model(tmp_path, METADATA, linear)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config |= {"attention_bias": False, "mlp_bias": False}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    checked, answer = loads(directory)
    assert answer is Answer.YES, checked.verdicts[0]


def test_draft_layers_are_left_to_the_draft_model(tmp_path: Path) -> None:
    """DeepSeek V3 keeps its last layer in BF16, and no list names it."""
    metadata: dict[str, Any] = {"quant_method": "fp8", "activation_scheme": "dynamic"}
    metadata |= {"weight_block_size": [64, 64]}
    drafts: Shapes = bf16("model.layers.1.eh_proj", 64, 128)

    def linear(name: str) -> Shapes:
        weight: Shapes = {f"{name}.weight": ("F8_E4M3", (64, 64))}
        return {**weight, f"{name}.weight_scale_inv": ("F32", (1, 1)), **drafts}

    directory = model(tmp_path, metadata, linear)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config["num_nextn_predict_layers"] = 1
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    checked, _ = loads(directory)
    assert not checked.verdicts[0].wrong


def test_older_releases_read_an_activation_order(tmp_path: Path) -> None:
    def ordered(name: str) -> Shapes:
        return {**GPTQ(name), f"{name}.g_idx": ("I32", (64,))}

    metadata = METADATA | {"desc_act": True}
    (answer,) = check(model(tmp_path, metadata, ordered), runtimes=["vllm==0.28.0"]).runtimes
    assert answer.loads == "unknown"  # 64 columns are less than what Marlin takes with an order
    assert "64 columns" in answer.reasons[0]
    without = model(tmp_path / "without", metadata)
    (answer,) = check(without, runtimes=["vllm==0.28.0"]).runtimes
    assert answer.loads == "no"
    assert "g_idx" in answer.reasons[0]


def test_a_shape_that_the_kernel_of_an_older_release_refuses_is_unknown(tmp_path: Path) -> None:
    """Which kernel takes over depends on the GPU."""
    directory = model(tmp_path, METADATA)
    found = check(directory, runtimes=["vllm==0.20.0", "vllm==0.24.0"]).runtimes
    assert [answer.loads for answer in found] == ["unknown", "yes"]


def test_a_module_that_stops_a_release_decides_whatever_is_not_known_of_others(
    tmp_path: Path,
) -> None:
    metadata = METADATA | {"dynamic": {"+:.*o_proj": {"bits": 3}}}
    (answer,) = check(model(tmp_path, metadata), runtimes=["vllm==0.20.0"]).runtimes
    assert answer.loads == "no"
    assert "bits 3" in str(answer.reasons)


def test_a_group_size_that_no_kernel_was_read_for_is_unknown(tmp_path: Path) -> None:
    checked, answer = loads(model(tmp_path, METADATA | {"group_size": 16}))
    assert answer is Answer.UNKNOWN
    assert "groups of 16" in checked.verdicts[0].problem


COPIES = DATA / "quantizers"
FP8: Callable[[str], Shapes] = lambda name: {  # noqa: E731
    f"{name}.weight": ("F8_E4M3", (64, 64)),
    f"{name}.weight_scale": ("BF16", (64, 1)),
}


def _ct(**group: Any) -> dict[str, Any]:
    weights = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
    inputs = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
    made = {"targets": ["Linear"], "weights": weights, "input_activations": inputs} | group
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": made},
    }


@pytest.mark.parametrize(
    ("metadata", "answer", "wrong"),
    [
        (_ct(), Answer.YES, ()),
        (_ct(targets=["re:.*proj$"]), Answer.YES, ()),
        # Anchored in a spelling that this release does not use.
        (_ct(targets=["re:layers.*"]), Answer.NO, EVERY_LINEAR),
        # An expression for one member meets the packed module.
        (_ct() | {"ignore": ["re:.*up_proj"]}, Answer.NO, ("gate_up_proj",)),
        (_ct() | {"ignore": ["re:.*gate_proj"]}, Answer.NO, ("gate_up_proj",)),
        (_ct() | {"transform_config": {"config_groups": {"u": {}}}}, Answer.UNKNOWN, ()),
        (_ct(weights=None), Answer.NO, ()),
    ],
)  # fmt: skip
def test_targets_of_compressed_tensors(
    tmp_path: Path, metadata: dict[str, Any], answer: Answer, wrong: tuple[str, ...]
) -> None:
    checked, found = loads(model(tmp_path, metadata, FP8))
    assert found is answer, checked.verdicts[0]
    assert {m.name.rpartition(".")[2] for m in checked.verdicts[0].wrong} == set(wrong)


def test_a_scale_that_nothing_holds_is_wrong_and_one_without_a_place_stops(tmp_path: Path) -> None:
    static = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}
    checked, _ = loads(model(tmp_path, _ct(input_activations=static | {"symmetric": True}), FP8))
    wrong = checked.verdicts[0].wrong
    assert {module.effect for module in wrong} == {Effect.WRONG_WEIGHTS}
    assert "has no input_scale, which this release requires" in wrong[0].reason

    def with_inputs(name: str) -> Shapes:
        return {**FP8(name), f"{name}.input_scale": ("BF16", (1,))}

    checked, _ = loads(model(tmp_path / "stray", _ct(), with_inputs))
    wrong = checked.verdicts[0].wrong
    assert {module.effect for module in wrong} == {Effect.STOPS}
    assert wrong[0].reason.endswith(".input_scale")


def _quark(directory: Path, stray: str = "") -> Path:
    weight = {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": False}
    scheme = {"weight": weight, "input_tensors": weight, "output_tensors": None, "bias": None}
    cached = scheme | {"output_tensors": weight}
    metadata = {
        "quant_method": "quark",
        "exclude": ["lm_head"],
        "global_quant_config": scheme,
        "layer_quant_config": {"*k_proj": cached, "*v_proj": cached},
        "export": {"kv_cache_group": ["*k_proj", "*v_proj"], "pack_method": "reorder"},
    }

    def linear(name: str) -> Shapes:
        scale: tuple[str, tuple[int, ...]] = ("BF16", ())
        made: Shapes = {f"{name}.weight": ("F8_E4M3", (64, 64))}
        made |= {f"{name}.weight_scale": scale, f"{name}.input_scale": scale}
        outputs = ("k_proj", "v_proj", stray)
        return made | ({f"{name}.output_scale": scale} if name.endswith(outputs) else {})

    return model(directory, metadata, linear)


def test_outputs_that_are_the_kv_cache_do_not_make_members_differ(tmp_path: Path) -> None:
    checked, answer = loads(_quark(tmp_path, stray="v_proj"))
    assert answer is Answer.YES, checked.verdicts[0]
    checked, answer = loads(_quark(tmp_path / "stray", stray="o_proj"))
    assert answer is Answer.NO
    assert checked.verdicts[0].wrong[0].reason.endswith("o_proj.output_scale")


def test_resolve_shows_what_decides_and_no_exclude_list(call: Call) -> None:
    directory = COPIES / "syn-gptq-qwen3vl-dynamic-anchored"
    name = "language_model.model.layers.0.mlp.down_proj"
    done = call("resolve", directory, name, "--runtime", RELEASE)
    assert "DIFFERS from stored" in done.stdout
    assert "declares GPTQ_INT4" in done.stdout
    assert "never looked up" not in done.stdout
