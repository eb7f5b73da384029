"""Stored against resolved: what vLLM 0.33.0's own objects hold, and the facts of the releases."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.place import Place
from ckptfix.runtimes.loads import Effect, Reason, no
from ckptfix.runtimes.releases import known_targets
from ckptfix.runtimes.target_verdict import TargetVerdict
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, load

RECORDS = sorted(p for p in (DATA / "oracle").glob("*.json") if (FIXTURES / p.stem).is_dir())
NO_WEIGHT = {"Attention", "MLAAttention", "VocabParallelEmbedding"}


def verdict(directory: Path, runtime: str, version: str) -> TargetVerdict:
    return judge(load(directory), Target(runtime, version, version))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_layer_is_predicted_as_vllm_0_33_builds_it(path: Path) -> None:
    """`tests/data/oracle` was recorded from the real classes by tools/record_oracle.py."""
    record: dict[str, Any] = json.loads(path.read_text())
    judged = verdict(FIXTURES / path.stem, "vllm", "0.33.0")
    if "could_not_build" in record:
        assert judged.refused
        return
    assert not judged.problem
    modules = {module.name: module for module in judged.modules}
    compared = 0
    for name, asked in record["asked"].items():
        if asked["class"] in NO_WEIGHT or (name == "lm_head" and name not in modules):
            continue  # a tied head has no tensor
        quantized = asked["answer"] is not None and "Unquantized" not in asked["answer"]
        assert (modules[name].resolved != "unquantized") == quantized, name
        compared += 1
    assert compared or record["quant_config_class"] == "NoneType"
    if record["quant_config_class"] == "NoneType":  # no quant_method in config.json
        assert all(module.resolved == "unquantized" for module in judged.modules)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_releases_that_share_a_verdict_would_have_had_it_alone(name: str) -> None:
    """What two releases do the same way is judged once for a checkpoint."""
    together = load(FIXTURES / name)
    for target in known_targets(together):
        judged, alone = judge(together, target), judge(load(FIXTURES / name), target)
        assert (judged.modules, judged.faults) == (alone.modules, alone.faults), target
        assert (judged.problem, judged.refused) == (alone.problem, alone.refused)


def wrong(judged: TargetVerdict) -> dict[str, str]:
    return {module.name: module.reason for module in judged.wrong}


def test_nano_vl_before_and_after_pr_39901() -> None:
    before = verdict(DATA / "nanovl-mixed", "vllm", "0.17.1")
    assert len(before.wrong) == 10
    assert set(wrong(before).values()) == {
        (
            "quantized_layers lists it with the checkpoint spelling, but this release uses a "
            "different one"
        )
    }
    assert not verdict(DATA / "nanovl-mixed", "vllm", "0.20.0").fails


def test_sglang_has_no_packed_table_for_nano_vl() -> None:
    judged = verdict(DATA / "nanovl-mixed", "sglang", "0.5.23")
    assert wrong(judged) == {
        "language_model.model.layers.3.mixer.qkv_proj": (
            "quantized_layers lists q_proj, k_proj, v_proj, but this release does not list "
            "qkv_proj as packed"
        )
    }


def test_what_no_runtime_can_load_quantized_is_reported() -> None:
    judged = verdict(DATA / "nanoomni-mixed-naive", "vllm", "0.33.0")
    reasons = wrong(judged)
    assert reasons["mlp1.1"] == "this runtime builds it without a quantization config"
    assert len(judged.wrong) == 13


@pytest.mark.parametrize(
    ("name", "runtime", "version", "message", "at"),
    [
        ("llama-int8-wo", "vllm", "0.33.0", "W8A16 for the whole checkpoint is", "/quant_algo"),
        ("llama-kv8-only", "vllm", "0.33.0", "has no quant_algo", ""),
        ("old-0.23.0-llama-mixed", "vllm", "0.33.0", "without quantized_layers", "/quant_algo"),
        ("llama-mxfp8", "sglang", "0.5.17", "MXFP8 for the whole checkpoint is", "/quant_algo"),
    ],
)
def test_a_release_that_would_stop(
    name: str, runtime: str, version: str, message: str, at: str
) -> None:
    judged = verdict(DATA / name, runtime, version)
    assert judged.refused
    assert message in judged.problem
    assert judged.at
    assert judged.at.pointer in (f"/quantization_config{at}", f"/quantization{at}")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"ignore": None}, "/ignore"),
        ({"quantized_layers": []}, "/quantized_layers"),
        ({"quantized_layers": {"a": {"quant_algo": 4}}}, "/quantized_layers/a/quant_algo"),
        ({"group_size": "many"}, "/group_size"),
    ],
)
def test_a_release_stops_at_a_value(change: dict[str, Any], pointer: str, tmp_path: Path) -> None:
    quantization = mixed({"model.layers.0.mlp.down_proj": "FP8"}) | change
    judged = verdict(llama(tmp_path, quantization), "vllm", "0.33.0")
    assert judged.refused
    assert judged.at == Place("config.json", f"/quantization_config{pointer}")


def test_an_architecture_whose_layout_is_not_known_gets_no_verdict(tmp_path: Path) -> None:
    tensors = {**fp8("model.a"), **bf16("lm_head")}
    write_checkpoint(tmp_path, tensors, mixed({"model.a": "FP8"}), architecture="Zamba2ForCausalLM")
    judged = verdict(tmp_path, "vllm", "0.33.0")
    if judged.problem:
        assert "is not known" in judged.problem
        assert not judged.fails


def llama(tmp_path: Path, quantization: dict[str, Any]) -> Path:
    tensors = {
        **fp8("model.layers.0.mlp.down_proj"),
        **fp8("model.layers.0.self_attn.q_proj"),
        **fp8("model.layers.0.self_attn.k_proj"),
        **bf16("model.layers.0.self_attn.v_proj"),
        **bf16("lm_head"),
    }
    return write_checkpoint(tmp_path, tensors, {"quant_method": "modelopt", **quantization})


def test_members_that_are_stored_differently_are_reported(tmp_path: Path) -> None:
    entries = mixed({"model.layers.0.mlp.down_proj": "FP8"})
    judged = verdict(llama(tmp_path, entries), "vllm", "0.33.0")
    assert wrong(judged)["model.layers.0.self_attn.qkv_proj"] == (
        "its members are stored differently"
    )


def test_the_pattern_that_excludes_a_quantized_module_is_named(tmp_path: Path) -> None:
    quantization = {"quant_algo": "FP8", "ignore": ["lm_head", "model.layers.0.mlp*"]}
    judged = verdict(llama(tmp_path, quantization), "vllm", "0.33.0")
    assert wrong(judged)["model.layers.0.mlp.down_proj"] == (
        "model.layers.0.mlp* excludes it (substring)"
    )


def test_the_headline_is_a_reason_with_the_effect_that_it_names() -> None:
    """Llama 4 in NVFP4 stops SGLang at its experts, which is worse than lost scales of a cache."""
    lost = Reason("does not load k_scale", Effect.WRONG_WEIGHTS)
    stops = Reason.stop("it does not load the experts")
    expected = "no, stops while loading: it does not load the experts (and 1 more)"
    assert str(no([lost, stops])) == expected
    assert str(no([stops, lost])) == expected
    assert no([lost, stops]).reasons == (lost, stops)
