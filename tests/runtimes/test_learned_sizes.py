"""Sizes that were learned from classes, for values of config.json that they cover."""

from typing import Any

from ckptfix.runtimes.config_classes import class_for
from ckptfix.runtimes.learned.sizes import SizeRow, Sizes, SizesRecord, sizes
from ckptfix.runtimes.registry import runtime_named

HEADS = SizeRow(
    ("heads*text.dim", "text.hidden"), ("q.#.weight",), "ws", "ss", {"text.gated": True}
)
TEXT: dict[str, Any] = {"dim": 8, "hidden": 16, "gated": True}
CONFIG: dict[str, Any] = {"model_type": "mine", "heads": 4, "text": TEXT}


def made(**more: Any) -> Sizes:
    keys = ("heads", "text.dim", "text.hidden")
    return Sizes(SizesRecord("MineConfig", {"model_type": "mine"}, (HEADS,), keys, **more))


def shape(sizes_: Sizes, config: dict[str, Any]) -> tuple[int | None, ...] | None:
    known = sizes_.for_config(config, None)
    row = known.row_of("q.#.weight") if known else None
    return known.shape(row.sizes) if known and row else None


def test_a_shape_follows_from_values_anywhere_in_the_config() -> None:
    assert shape(made(), CONFIG) == (32, 16)
    assert shape(made(), CONFIG | {"heads": 2}) == (16, 16)
    assert shape(made(), CONFIG | {"heads": None}) == (None, 16)


def test_nothing_is_known_of_another_config_class_or_for_values_that_were_not_tried() -> None:
    assert shape(made(), CONFIG | {"model_type": "other"}) is None
    assert shape(made(given={"depth": 2}), CONFIG | {"depth": 3}) is None
    assert shape(made(), CONFIG | {"text": {**TEXT, "gated": False}}) is None


def test_nothing_is_known_of_a_config_with_a_key_that_may_decide_sizes_and_was_not_there() -> None:
    """As `global_head_dim` of Gemma 4, which only the config class reads, or configs of layers."""
    text = {**TEXT, "global_head_dim": 16}
    assert shape(made(), CONFIG | {"text": text}) is None
    assert shape(made(), CONFIG | {"text": {**text, "global_head_dim": None}}) == (32, 16)
    assert shape(made(), CONFIG | {"text": {**TEXT, "dropout": 0.5}}) == (32, 16)
    assert shape(made(), CONFIG | {"block_configs": [{"heads": 2}, {"heads": 4}]}) is None


def test_a_value_that_is_missing_is_the_default_only_if_the_default_was_learned() -> None:
    text = {key: value for key, value in TEXT.items() if key != "gated"}
    missing = CONFIG | {"text": text}
    assert shape(made(), missing) is None
    assert shape(made(of_library=True), missing) == (32, 16)
    assert shape(made(given={"rank": None}), CONFIG) == (32, 16)
    assert (
        shape(made(of_library=True), {k: v for k, v in CONFIG.items() if k != "model_type"}) is None
    )


def test_numbers_have_the_default_of_the_config_class_and_go_by_several_names() -> None:
    rows = runtime_named("vllm").config_classes
    known = class_for(rows, "0.33.0", "gpt2")
    assert known is not None
    flat = known.flat({"n_head": 3, "hidden_size": 96, "quantization_config": {"a": 1}})
    assert (flat["n_embd"], flat["n_head"], flat["n_positions"]) == (96, 3, 1024)
    assert not any(path.startswith("quantization_config") for path in flat)


def test_a_size_that_a_class_computes_is_not_known_where_it_is_given() -> None:
    """Of GLM-OCR, whose heads have hidden_size / num_attention_heads only by default."""
    known = sizes("vllm", "0.33.0", "GlmOcrForConditionalGeneration")
    assert known is not None
    query = "model.language_model.layers.#.self_attn.q_proj.weight"
    text = {"model_type": "glm_ocr_text", "hidden_size": 1536, "num_attention_heads": 16}
    for more, is_known in (({}, True), ({"head_dim": 128}, False)):
        config = {"text_config": text | more} | known.record.model_types
        config = {key: value for key, value in config.items() if "." not in key}
        found = known.for_config(config, None)
        assert found is not None
        assert (found.row_of(query) is not None) is is_known


def test_those_of_another_release_are_not_known() -> None:
    assert sizes("vllm", "0.28.0", "OlmoeForCausalLM") is None
    assert sizes("nobody", "0.33.0", "OlmoeForCausalLM") is None
