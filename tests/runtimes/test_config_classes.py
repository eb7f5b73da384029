"""What the config classes of transformers make of config.json, where they are recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.config_classes import class_for
from ckptfix.runtimes.loads import Answer
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.targets import Target
from ckptfix.runtimes.verdict import judge
from tests.builders import Shapes, bf16, fp8, write_checkpoint
from tests.conftest import FIXTURE_NAMES, FIXTURES, SHARED, load
from tests.runtimes.structure.models import FP8, attention, reasons_of

RELEASES = (("vllm", "0.33.0"), ("sglang", "0.5.23"))
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": 1,
    "vocab_size": 32,
    "tie_word_embeddings": False,
}


def tensors() -> Shapes:
    made = bf16("model.embed_tokens") | bf16("model.norm", 32) | bf16("lm_head")
    made |= attention("model.layers.0")
    for part in ("gate_proj", "up_proj", "down_proj"):
        made |= fp8(f"model.layers.0.mlp.{part}")
    return made


def reasons(directory: Path, runtime: str, version: str, config: dict[str, Any]) -> str:
    write_checkpoint(directory, tensors(), FP8, extra_config=config)
    return reasons_of(judge(load(directory), Target(runtime, version, version)).loads)


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"rms_norm_eps": 1e-6, "rope_theta": 10000, "pad_token_id": None}, ""),
        ({"attention_bias": None}, "stops: attention_bias of config.json is null"),
        ({"hidden_size": "32"}, "stops: hidden_size of config.json is a value of type string"),
        ({"num_hidden_layers": True}, "num_hidden_layers of config.json is a value of type bool"),
        ({"rms_norm_eps": []}, "stops: rms_norm_eps of config.json is an empty list"),
        ({"use_cache": {"use_cache": True}}, "use_cache of config.json is a value of type object"),
        ({"eos_token_id": [1, 2]}, ""),
        ({"rope_scaling": [1]}, "stops: rope_scaling of config.json is a value of type list"),
        ({"rope_scaling": None}, ""),
        ({"layer_types": ["full_attention"]}, ""),
        ({"layer_types": None}, ""),
        ({"layer_types": ["attention"]}, ""),
        ({"layer_types": []}, "stops: layer_types of config.json is a list of 0 for 1 layers"),
        ({"layer_types": ["full_attention"] * 2}, "is a list of 2 for 1 layers, which its config"),
        ({"layer_types": ["made up"]}, "layer_types of config.json is a list with made up"),
        ({"layer_types": "full_attention"}, "layer_types of config.json is a value of type string"),
    ],
)
def test_a_value_that_the_field_of_the_class_refuses(
    tmp_path: Path, runtime: str, version: str, change: dict[str, Any], expected: str
) -> None:
    found = reasons(tmp_path, runtime, version, LLAMA | change)
    assert found.startswith(expected) if expected.startswith("stops") else expected in found
    assert bool(found) == bool(expected)


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize("given", [{}, {"num_key_value_heads": None}])
@pytest.mark.parametrize("heads", [4, 8])
def test_a_key_that_takes_its_number_from_another(
    tmp_path: Path, runtime: str, version: str, given: dict[str, Any], heads: int
) -> None:
    """As many heads of keys as of queries, of the size that `head_dim` says."""
    config = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    more = {"num_attention_heads": heads, "head_dim": 8}
    found = reasons(tmp_path, runtime, version, config | more | given)
    assert ("k_proj is 32 x 32, but config.json implies 64 x 32" in found) == (heads == 8)


def test_a_tower_whose_config_is_null_or_missing_has_the_sizes_of_its_class() -> None:
    for runtime, version in RELEASES:
        known = class_for(runtime_named(runtime).config_classes, version, "qwen2_5_vl")
        assert known is not None
        given = ({"vision_config": vision} for vision in (None, {}, {"depth": 2}))
        for values, depth in zip(({}, *given), (32, 32, 32, 2), strict=True):
            made = known.completed(values, ModelConfig(values=values)).values["vision_config"]
            assert made["depth"] == depth


@pytest.mark.parametrize("given", [{}, {"text_config": None}])
def test_a_language_model_whose_config_is_null_or_missing_has_the_numbers_of_its_class(
    given: dict[str, object],
) -> None:
    """Or those of the config around it, where older releases of transformers put them."""
    for runtime, version in RELEASES:
        known = class_for(runtime_named(runtime).config_classes, version, "qwen2_5_vl")
        assert known is not None
        for flat, hidden in (({}, 8192), ({"hidden_size": 64}, 64)):
            values = given | flat
            made = known.completed(values, ModelConfig(values=values)).values
            assert made["hidden_size"] == hidden


@pytest.mark.parametrize("text", [{}, {"num_hidden_layers": 2}])
def test_a_language_model_of_its_own_takes_nothing_from_the_config_around_it(
    text: dict[str, int],
) -> None:
    for runtime, version in RELEASES:
        known = class_for(runtime_named(runtime).config_classes, version, "qwen2_5_vl")
        assert known is not None
        values = {"hidden_size": 64, "num_hidden_layers": 3, "text_config": text}
        around = {key: value for key, value in values.items() if key != "text_config"}
        layers = text.get("num_hidden_layers", 3)
        config = ModelConfig(values={**around, **text}, num_hidden_layers=layers)
        made = known.completed(values, config)
        assert made.values["hidden_size"] == 8192
        assert made.num_hidden_layers == text.get("num_hidden_layers", 80)


def test_not_every_class_takes_what_is_around_a_missing_language_model() -> None:
    for runtime, version in RELEASES:
        known = class_for(runtime_named(runtime).config_classes, version, "qwen3_vl_moe")
        assert known is not None
        made = known.completed({"hidden_size": 64}, ModelConfig(values={"hidden_size": 64}))
        assert made.values["hidden_size"] != 64


YARN = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("missing", ["", "factor", "original_max_position_embeddings"])
def test_rotary_settings_without_what_their_type_needs(
    tmp_path: Path, runtime: str, version: str, key: str, missing: str
) -> None:
    """The length before the extension is taken from `max_position_embeddings`."""
    settings = {name: value for name, value in YARN.items() if name != missing}
    found = reasons(tmp_path, runtime, version, LLAMA | {key: settings})
    stops = f"stops: {key}.factor of config.json is missing, which its config class refuses"
    assert found == (stops if missing == "factor" else "")


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("vocab_size", "model.embed_tokens has 32 rows, but vocab_size is 32,000"),
        ("num_hidden_layers", "num_hidden_layers is 32, but layer 1 is not stored"),
        ("hidden_size", "config.json implies 32 x 4,096"),
    ],
)
def test_a_missing_key_has_the_default_of_the_class(
    tmp_path: Path, runtime: str, version: str, missing: str, expected: str
) -> None:
    config = {key: value for key, value in LLAMA.items() if key != missing}
    assert expected in reasons(tmp_path, runtime, version, config)


def test_releases_before_typed_fields_are_not_judged_so(tmp_path: Path) -> None:
    config = LLAMA | {"attention_bias": None}
    write_checkpoint(tmp_path, tensors(), FP8, extra_config=config)
    for runtime, version in (("vllm", "0.28.0"), ("sglang", "0.5.20")):
        verdict = judge(load(tmp_path), Target(runtime, version, version))
        assert verdict.loads.answer is Answer.UNKNOWN


def test_a_key_under_its_other_name_is_not_missing() -> None:
    known = class_for(runtime_named("vllm").config_classes, "0.33.0", "deepseek_v3")
    assert known is not None
    assert known.record.aliases["num_local_experts"] == "n_routed_experts"
    assert known.record.numbers["num_nextn_predict_layers"] == 1


def refused(config: dict[str, Any]) -> list[str]:
    found = []
    for runtime, version in RELEASES:
        rows = runtime_named(runtime).config_classes
        known = class_for(rows, version, config.get("model_type"))
        found += (
            [f"{runtime} {path}: {kind}" for path, kind in known.refusals(config)] if known else []
        )
    return found


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_no_export_has_a_value_that_is_refused(name: str) -> None:
    assert refused(json.loads((FIXTURES / name / "config.json").read_text())) == []


def test_no_published_config_has_one() -> None:
    paths = sorted((SHARED / "real-configs").glob("*/config.json"))
    if not paths:
        pytest.skip("../shared/real-configs is not there")
    assert [refused(json.loads(path.read_text())) for path in paths] == [[]] * len(paths)


def test_the_config_within_is_read_by_a_class_of_its_own() -> None:
    """A checkpoint brings the outer class along for vLLM; SGLang has one."""
    inner = {"model_type": "nemotron_h", "hidden_size": None}
    for runtime, version in RELEASES:
        known = class_for(runtime_named(runtime).config_classes, version, "NemotronH_Nano_VL_V2")
        assert known is not None
        found = list(known.refusals({"llm_config": inner}))
        assert (found == [(("llm_config", "hidden_size"), "null")]) == (runtime == "vllm")


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize("named", [None, 3])
def test_a_config_that_names_no_class(
    tmp_path: Path, runtime: str, version: str, named: object
) -> None:
    found = reasons(tmp_path, runtime, version, LLAMA | {"model_type": named})
    assert found == "stops: config.json has no model_type, which names its config class"


@pytest.mark.parametrize(("runtime", "version"), RELEASES)
@pytest.mark.parametrize("size", [32, [32]])
def test_a_value_that_is_refused_stops_a_class_whose_layout_is_not_known(
    tmp_path: Path, runtime: str, version: str, size: object
) -> None:
    config = LLAMA | {"hidden_size": size}
    name = "MiniCPMO"
    write_checkpoint(tmp_path, tensors(), FP8, extra_config=config, architecture=name)
    loads = judge(load(tmp_path), Target(runtime, version, version)).loads
    assert loads.answer is (Answer.UNKNOWN if size == 32 else Answer.NO)
    assert ("hidden_size of config.json is a value of type list" in str(loads)) == (size == [32])
