"""What a class does for another value of config.json: in the learner's tables, and read back."""

import json
from typing import Any

import msgspec
import pytest

from ckptfix.runtimes.learned.records import TableRecord
from ckptfix.runtimes.learned.table import Table
from place_learner import hints, provenance, stored_drafts, tables, variants

LAYER = "model.layers.0"
DOWN = f"{LAYER}.kv_down"


def run(asked: str, variant: str = "", value: object = None) -> dict[str, Any]:
    """A model with one layer, whose projection asks under a name."""
    place = f"{LAYER}.self_attn.{asked}"
    load = {
        "single_pass": True,
        "lands": {f"{DOWN}.weight": [(f"{place}.weight", 0)]},
        "tensors": {f"{DOWN}.weight": (64, 64)},
        "unused": [],
        "never_written": [],
        "errors": {},
    }
    modules = [{"place": place, "asked": [place], "kind": "linear"}]
    shown = {"modules": modules, "loads": {"own": load}, "packed": {}, "inner": []}
    return {"variant": variant, "value": value, **shown}


@pytest.fixture
def learned() -> Table:
    """Of a class that fuses the projection with another one, if there is a rank."""
    result = {
        "architecture": "MadeForCausalLM",
        "runs": [run("fused"), run("alone", "rank", None), run("fused", "rank", 7)],
        "values": {"rank": 512},
    }
    return Table(msgspec.convert(tables.table(result), TableRecord))


@pytest.mark.parametrize(("config", "asked"), [({}, "fused"), ({"rank": None}, "alone")])
def test_a_name_that_is_looked_up_depends_on_config_json(
    learned: Table, config: dict[str, Any], asked: str
) -> None:
    [row] = learned.under(config).rows.values()
    assert row.looked_up == f"model.layers.#.self_attn.{asked}"
    assert not learned.under(config).unclear


def test_for_a_value_that_was_not_tried_the_name_is_not_certain(learned: Table) -> None:
    assert learned.under({"rank": 7}).unclear == frozenset()
    assert learned.under({"rank": "high"}).unclear == {"model.layers.#.kv_down"}


def test_a_value_that_changes_nothing_was_tried_all_the_same() -> None:
    """Otherwise two language models that are alike would be one that is known, and one not."""
    short = run("fused", "inside", "short")
    short["loads"]["own"] = {**short["loads"]["own"], "single_pass": False}
    result = {
        "architecture": "MadeForCausalLM",
        "runs": [run("fused"), run("fused", "inside", "alike"), short],
        "values": {"inside": "first"},
    }
    table = Table(msgspec.convert(tables.table(result), TableRecord))
    known = [table.shapes("model.layers.#", {"inside": each}) for each in ("first", "alike")]
    assert known[0] == known[1] is not None
    assert table.shapes("model.layers.#", {"inside": "short"}) is None
    assert table.shapes("model.layers.#", {"inside": "other"}) is None


def test_a_class_is_known_only_with_the_keys_of_published_checkpoints() -> None:
    """The default of the config class is another, with which it was not learned."""
    result = {
        "source": "library",
        "config_from": "MadeConfig",
        "architecture": "MadeForCausalLM",
        "class_file": "made.py",
        "guessed": 0,
        "runs": [run("fused")],
        "published": ["use_norm"],
    }
    assert provenance.provenance(result)["needs"] == ["use_norm"]


def test_shared_experts_are_taken_away() -> None:
    config: dict[str, Any] = {"moe_num_shared_experts": 2, "num_experts": 8}
    assert list(variants.changed(config)) == [
        ("moe_num_shared_experts", {**config, "moe_num_shared_experts": 0})
    ]


def test_any_number_of_shared_experts_names_the_same_tensors() -> None:
    alone = run("fused", "num_shared_experts", 0)
    alone["loads"]["own"] = {**alone["loads"]["own"], "lands": {}}
    result = {
        "architecture": "MadeForCausalLM",
        "runs": [run("fused"), alone],
        "values": {"num_shared_experts": 2},
    }
    table = Table(msgspec.convert(tables.table(result), TableRecord))
    assert table.shapes("model.layers.#", {"num_shared_experts": 4})
    assert table.shapes("model.layers.#", {"num_shared_experts": "4"}) is None


def test_hints_are_put_where_a_class_reads_them() -> None:
    config = {"vision_config": {"model_type": "vit"}, "text_config": {"model_type": "qwen2"}}
    found: dict[str, Any] = hints.hinted("InternVLForConditionalGeneration", config)
    assert found["vision_config"]["attention_bias"] is True
    assert "attention_bias" not in found["text_config"]
    assert found["tie_word_embeddings"] is False
    assert "tie_word_embeddings" not in found["text_config"]
    assert "attention_bias" not in json.dumps(config)


def test_flags_of_towers_are_tried_after_those_of_the_language_model() -> None:
    config = {
        "vision_config": {"qkv_bias": True, "hidden_size": 8},
        "thinker_config": {"text_config": {"tie_word_embeddings": False}},
        "text_config": {"attention_bias": False},
    }
    assert [path for path, _ in variants.changed(config)] == [
        "text_config.attention_bias",
        "vision_config.qkv_bias",
        "thinker_config.text_config.tie_word_embeddings",
    ]
    changed = dict(variants.changed(config))["vision_config.qkv_bias"]
    assert variants.value_of(changed, "vision_config.qkv_bias") is False


def test_a_condition_may_name_a_key_of_a_part_of_a_part() -> None:
    tied = run("head", "thinker_config.text_config.tie_word_embeddings", True)
    tied["loads"]["own"]["lands"] = {}
    result = {
        "architecture": "MadeForCausalLM",
        "runs": [run("fused"), tied],
        "values": {"thinker_config.text_config.tie_word_embeddings": False},
    }
    table = Table(msgspec.convert(tables.table(result), TableRecord))
    config = {"thinker_config": {"text_config": {"tie_word_embeddings": True}}}
    assert table.shapes("model.layers.#", {}) is not None
    assert table.shapes("model.layers.#", config) is None


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"num_hidden_layers": 2}, "num_nextn_predict_layers"),
        (
            {"text_config": {"num_hidden_layers": 2, "num_mtp_layers": 0}},
            "text_config.num_mtp_layers",
        ),
    ],
)
def test_a_draft_layer_is_declared_where_layers_are_counted(
    config: dict[str, Any], path: str
) -> None:
    key, declared = stored_drafts.declared(config)
    assert (key, variants.value_of(declared, path)) == (path, 1)
