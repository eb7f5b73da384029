"""Values of config.json that stop a class, as they were tried on the classes themselves."""

import json
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from ckptfix.runtimes.common.kinds import KINDS
from ckptfix.runtimes.learned.settings import FOLDER, of_model_type, settings
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.tried import tried_for
from ckptfix.runtimes.verdict import judge
from tests.builders import bf16, write_checkpoint
from tests.conftest import FIXTURE_NAMES, FIXTURES, SHARED, load
from tests.runtimes.structure.models import FP8
from tests.runtimes.test_config_classes import LLAMA, RELEASES, reasons, tensors


def test_another_release_or_class_was_not() -> None:
    assert settings("vllm", "0.28.0", "LlamaForCausalLM") is None
    assert settings("vllm", "0.33.0", "NobodysForCausalLM") is None
    assert settings("nobody", "0.33.0", "LlamaForCausalLM") is None


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rope_theta": None}, "stops: rope_theta of config.json is null, which stops its class"),
        ({"hidden_act": ""}, "stops: hidden_act of config.json is an empty string"),
        ({"hidden_size": {"hidden_size": 32}}, "hidden_size of config.json is a value of type obj"),
        ({"rope_theta": 10000.0}, ""),
    ],
)
def test_a_value_that_stops_the_class(
    tmp_path: Path, runtime: str, version: str, change: dict[str, Any], expected: str
) -> None:
    found = reasons(tmp_path, runtime, version, LLAMA | change)
    assert expected in found
    assert bool(found) == bool(expected)


@pytest.mark.parametrize("act", [{}, {"hidden_act": "gelu_pytorch_tanh"}])
def test_it_stops_the_class_wherever_that_puts_the_tensors(
    tmp_path: Path, act: dict[str, str]
) -> None:
    config = LLAMA | {"model_type": "gemma2", "hidden_activation": "gelu_pytorch_tanh"} | act
    stored = tensors() | bf16("model.layers.0.a_module_that_nobody_knows")
    write_checkpoint(tmp_path, stored, FP8, extra_config=config, architecture="Gemma2ForCausalLM")
    target = Target("sglang", "0.5.23", "0.5.23")
    loads = judge(load(tmp_path), target).loads
    assert loads.answer == (Answer.UNKNOWN if act else Answer.NO)
    assert ("hidden_act of config.json is missing" in str(loads)) != bool(act)


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize("type_", ["llama3", "linear"])
def test_keys_of_another_kind_of_rotary_embedding_say_nothing(type_: str) -> None:
    known = settings("vllm", "0.33.0", "LlamaForCausalLM")
    assert known is not None
    rope = LLAMA3 | {"rope_type": type_, "original_max_position_embeddings": None}
    path = ("rope_scaling", "original_max_position_embeddings")
    found = list(known.stopped_by(LLAMA | {"rope_scaling": rope}, None))
    assert found == ([(path, "null")] if type_ == "llama3" else [])


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
def test_a_config_class_of_another_type_may_have_other_values(
    tmp_path: Path, runtime: str, version: str
) -> None:
    for model_type in ("llama", "mistral"):
        path = tmp_path / model_type
        config = LLAMA | {"rope_theta": None, "model_type": model_type}
        found = reasons(path, runtime, version, config)
        assert ("rope_theta" in found) == (model_type == "llama")


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_rotary_settings_under_either_name(key: str) -> None:
    """It was tried on `rope_scaling`; a missing one says nothing where another may be there."""
    known = settings("sglang", "0.5.23", "LlamaForCausalLM")
    assert known is not None
    rope = LLAMA3 | {"original_max_position_embeddings": 16}
    found = list(known.stopped_by(LLAMA | {key: rope | {"rope_type": None}}, None))
    assert found == [((key, "rope_type"), "null")]
    assert not list(known.stopped_by(LLAMA | {key: rope}, None))


@pytest.mark.parametrize("experts", [4, {"made up": 1}])
def test_the_class_within_a_wrapper_is_stopped_too(tmp_path: Path, experts: object) -> None:
    """SGLang's wrapper was not tried; what it builds for `llm_config` was, as NemotronH."""
    config = {
        "model_type": "NemotronH_Nano_VL_V2",
        "llm_config": {"model_type": "nemotron_h", "n_routed_experts": experts},
    }
    name = "NemotronH_Nano_VL_V2"
    write_checkpoint(tmp_path, tensors(), FP8, extra_config=config, architecture=name)
    loads = judge(load(tmp_path), Target("sglang", "0.5.23", "0.5.23")).loads
    stops = "llm_config.n_routed_experts of config.json is a value of type object"
    assert (stops in str(loads.reasons)) == isinstance(experts, dict)


def stopped(config: dict[str, Any]) -> list[str]:
    found = []
    for runtime, version in RELEASES:
        known = settings(runtime, version, config["architectures"][0])
        stops = known.stopped_by(config, None) if known else ()
        found += [f"{runtime} {path}: {kind}" for path, kind in stops]
    return found


def test_no_published_config_has_such_a_value() -> None:
    paths = sorted((SHARED / "real-configs").glob("*/config.json"))
    if not paths:
        pytest.skip("../shared/real-configs is not there")
    assert {str(p): s for p in paths if (s := stopped(json.loads(p.read_text())))} == {}


STOPPED = {"qwen3vlmoe-nvfp4": ["vllm ('text_config', 'norm_topk_prob'): missing"]}
"""Exports that the real loader does not load for such a value."""


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_no_other_export_has_such_a_value(name: str) -> None:
    found = stopped(json.loads((FIXTURES / name / "config.json").read_text()))
    assert found == STOPPED.get(name, [])


@pytest.mark.parametrize("text_type", ["llama", "mistral"])
def test_a_wrapper_with_a_language_model_of_another_type(tmp_path: Path, text_type: str) -> None:
    """LLaVA was tried with a Llama in it; of a Mistral in it, what was tried of Mistral counts."""
    text = {"model_type": text_type, "hidden_act": "", "rope_parameters": {"rope_theta": 1e4}}
    config = {"model_type": "llava", "text_config": text}
    name = "LlavaForConditionalGeneration"
    write_checkpoint(tmp_path, tensors(), FP8, extra_config=config, architecture=name)
    tried = tried_for(load(tmp_path), Target("vllm", "0.33.0", "0.33.0"), [name])
    assert [one.path for one in tried] == ([()] if text_type == "llama" else [(), ("text_config",)])
    found = [path for one in tried for path, _ in one.stops(config)]
    assert found == [("text_config", "hidden_act")]


def test_of_several_classes_with_configs_of_a_type_what_stops_each_counts() -> None:
    common = of_model_type("sglang", "0.5.23", "nemotron_h")
    names = ("NemotronHForCausalLM", "NemotronHPuzzleForCausalLM")
    of_each = [settings("sglang", "0.5.23", name) for name in names]
    assert common is not None
    for config in ({"n_routed_experts": {"made up": 1}}, {"moe_intermediate_size": None}, {}):
        stops = [set(one.stopped_by(config, None)) for one in of_each if one is not None]
        assert set(common.stopped_by(config, None)) == stops[0] & stops[1]
    assert list(common.stopped_by({"n_routed_experts": {"made up": 1}}, None))
    assert of_model_type("sglang", "0.5.23", "nobodys") is None


@pytest.mark.parametrize("rope", [{"rope_theta": None}, {"rope_parameters": {"rope_theta": None}}])
def test_a_rotary_base_that_is_null_in_either_place(rope: dict[str, Any]) -> None:
    known = settings("vllm", "0.33.0", "DeepseekV2ForCausalLM")
    assert known is not None
    assert [kind for path, kind in known.stopped_by(rope, None) if "rope_theta" in path] == ["null"]


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
def test_the_file_names_kinds_that_values_have(runtime: str, version: str) -> None:
    path = Path(ckptfix.__file__).parent / "runtimes" / runtime / FOLDER / f"{version}.json"
    records = json.loads(path.read_text())["architectures"].values()
    assert {kind for r in records for group in r["stops"] for kind in group.split("|")} <= set(
        KINDS
    )
