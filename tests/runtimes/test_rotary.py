"""Rotary settings that the rotary embedding of a release does not take."""

import pytest

from ckptfix.runtimes.rotary import Rotary, rotary_for

THETA = {"rope_theta": 10000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def known(runtime: str, architecture: str = "LlamaForCausalLM") -> Rotary:
    found = rotary_for(runtime, {"vllm": "0.33.0", "sglang": "0.5.23"}[runtime], architecture)
    assert found is not None
    return found


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize(
    ("changed", "name", "kind"),
    [
        ({"rope_type": None}, "rope_type", "null"),
        ({"rope_type": "made up"}, "rope_type", "string"),
        ({"rope_type": {}}, "rope_type", "empty object"),
        ({"high_freq_factor": [1]}, "high_freq_factor", "list"),
        ({"factor": {"made up": 1}}, "factor", "object"),
    ],
)
def test_a_value_that_stops_it_is_named(
    runtime: str, key: str, changed: dict[str, object], name: str, kind: str
) -> None:
    assert known(runtime).stop({key: LLAMA3 | changed}) == ((key, name), kind)


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"rope_parameters": None, "rope_scaling": {}},
        {"rope_parameters": THETA},
        {"rope_parameters": THETA | {"rope_type": "default"}},
        {"rope_scaling": LLAMA3},
        {"rope_scaling": {"type": "linear", "factor": 2}},
        {"rope_parameters": {"full_attention": LLAMA3, "sliding_attention": THETA}},
    ],
)
def test_what_published_configs_have_is_taken(runtime: str, config: dict[str, object]) -> None:
    assert known(runtime).stop(config) is None


def test_types_differ_between_runtimes() -> None:
    ntk = {"rope_parameters": THETA | {"rope_type": "ntk", "factor": 2.0}}
    assert known("vllm").stop(ntk) is None
    assert known("sglang").stop(ntk) == (("rope_parameters", "rope_type"), "string")


def test_a_type_under_its_old_name_needs_what_the_type_needs() -> None:
    old = {"rope_scaling": {"type": "su", "long_factor": [1.0]}}
    assert known("vllm").stop(old) == (("rope_scaling", "short_factor"), "missing")


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_a_wrapper_passes_on_the_settings_of_its_language_model(runtime: str) -> None:
    wrapper = known(runtime, "Mistral3ForConditionalGeneration")
    wrong = {"rope_parameters": THETA | {"rope_type": "made up"}}
    within = ("text_config", "rope_parameters", "rope_type")
    assert wrapper.stop({"text_config": wrong}) == (within, "string")
    assert wrapper.stop({"text_config": {"rope_parameters": LLAMA3}}) is None
    assert wrapper.stop(wrong) is None  # its config class does not read them there


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_a_config_class_may_put_another_type(runtime: str) -> None:
    """Qwen2.5-VL was published with `mrope`, which SGLang's embedding does not know."""
    config = {"text_config": {"rope_scaling": {"type": "mrope"}}}
    assert known(runtime, "Qwen2_5_VLForConditionalGeneration").stop(config) is None
    assert known(runtime, "Qwen3VLMoeForConditionalGeneration").stop(config) is not None


def test_other_classes_and_releases_were_not_read() -> None:
    other = rotary_for("vllm", "0.33.0", "Zamba2ForCausalLM")
    assert other is not None
    assert other.stop({"rope_parameters": {"rope_type": "made up"}}) is None
    assert rotary_for("vllm", "0.32.0", "LlamaForCausalLM") is None


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "DeepseekV3ForCausalLM"])
@pytest.mark.parametrize(
    ("types", "stops"),
    [
        (("linear", None), True),
        (("linear", "yarn"), True),
        (("linear", "linear"), False),
        (("longrope", "su"), False),
        (("default", "mrope"), False),
    ],
)
def test_two_types_that_differ_stop_every_class_of_vllm(
    architecture: str, types: tuple[str, str | None], *, stops: bool
) -> None:
    settings = {"factor": 2.0, "original_max_position_embeddings": 64, "mrope_section": [1]}
    settings |= {"short_factor": [1.0], "long_factor": [1.0]}
    settings |= dict(zip(("rope_type", "type"), types, strict=True))
    where = ("rope_scaling", "type")
    rotary, config = known("vllm", architecture), {"rope_scaling": settings}
    assert rotary.stop(config) == ((where, "other than rope_type") if stops else None)
    within = rotary.stop({"vision_config": config})
    assert within == ((("vision_config", *where), "other than rope_type") if stops else None)


@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        ({"rope_type": "default"}, None),
        ({"rope_type": "made up"}, ("factor", "missing")),
        ({"rope_type": None, "factor": 2}, ("original_max_position_embeddings", "missing")),
        ({"type": "yarn", "factor": 2.0}, None),  # transformers adds the other one
        ({"type": "linear", "factor": 2.0}, ("original_max_position_embeddings", "missing")),
        ({"type": "yarn", "factor": "2"}, ("factor", "string")),
        ({"rope_type": "default", "rope_theta": None}, ("rope_theta", "null")),
        (
            {"rope_type": "default", "mrope_section": [8, 12]},
            ("mrope_section", "[8, 12], and half of the rotary dimensions are 16"),
        ),
    ],
)
def test_deepseek_makes_one_type_of_every_other(
    settings: dict[str, object], stops: tuple[str, str] | None
) -> None:
    config = {"qk_rope_head_dim": 32, "head_dim": 192, "rope_scaling": settings}
    found = known("vllm", "DeepseekV3ForCausalLM").stop(config)
    assert found == (stops and (("rope_scaling", stops[0]), stops[1]))


@pytest.mark.parametrize("type_", ["default", "made up", None])
def test_deepseek_in_sglang_needs_no_number_for_it(type_: str | None) -> None:
    rotary = known("sglang", "DeepseekV3ForCausalLM")
    settings = {"rope_type": type_, "mrope_section": [8, 12]}
    assert rotary.stop({"rope_scaling": settings}) is None
    wrong = {"rope_scaling": settings | {"factor": "2"}}
    assert rotary.stop(wrong) == (("rope_scaling", "factor"), "string")


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_factors_are_as_many_as_frequencies(runtime: str) -> None:
    factors = {"short_factor": [1.0] * 48, "long_factor": [1.0] * 48}
    settings = {"type": "longrope", "original_max_position_embeddings": 64, **factors}
    config = {"head_dim": 128, "partial_rotary_factor": 0.75, "rope_scaling": settings}
    assert known(runtime).stop(config) is None
    settings["long_factor"] = [1.0] * 64
    where = ("rope_scaling", "long_factor")
    assert known(runtime).stop(config) == (where, "a list of 64, and there are 48 frequencies")


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
@pytest.mark.parametrize(("given", "kind"), [("made up", "string"), (1, "int"), ([1], "list")])
def test_settings_are_an_object(runtime: str, given: object, kind: str) -> None:
    assert known(runtime).stop({"rope_scaling": given}) == (("rope_scaling",), kind)


def test_a_class_may_take_a_number_from_elsewhere() -> None:
    config = {"rope_scaling": {"rope_type": "default", "rope_theta": "made up"}}
    assert known("sglang", "Qwen3NextForCausalLM").stop(config) is None
    where = ("rope_scaling", "rope_theta")
    assert known("sglang", "Qwen3ForCausalLM").stop(config) == (where, "string")


def test_any_language_model_of_vllm_turns_the_sections_that_it_is_given() -> None:
    settings = {"rope_type": "default", "mrope_section": [8, 12]}
    config = {"head_dim": 64, "rope_scaling": settings}
    assert known("vllm").stop(config) is not None
    of_transformers = known("vllm", "SmolLM3ForCausalLM")  # built of transformers' modules
    assert of_transformers.stop(config) is None
    assert known("vllm").stop({**config, "head_dim": 40}) is None


def test_of_the_two_types_sglang_reads_one() -> None:
    settings = {"rope_type": "linear", "type": None, "factor": 2.0}
    assert known("sglang").stop({"rope_scaling": settings}) is None


def test_a_language_model_within_needs_its_type_in_vllm() -> None:
    config = {"text_config": {"model_type": None, "rope_parameters": {"rope_type": "default"}}}
    rotary = known("vllm", "Qwen2VLForConditionalGeneration")
    assert rotary.stop(config) == (("text_config", "model_type"), "null")
    assert rotary.stop({"text_config": {"rope_parameters": {"rope_type": "default"}}}) is None
