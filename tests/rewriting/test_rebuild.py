"""Metadata made again from the tensors: lost, wrong, or in the wrong file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckptfix
from ckptfix.rewriting.rebuild.plan import plan_rebuild
from ckptfix.runtimes.name_maps import choose_name_map
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, load
from tests.rewriting.rebuilding import (
    KV_ONLY,
    codes,
    forget_metadata,
    llama,
    quantization_of,
    rebuilt,
    verdicts,
)


def test_metadata_in_a_place_that_few_releases_read_moves_to_where_all_do(
    copy_of: Callable[[str], Path],
) -> None:
    directory = copy_of("nanovl-fp8")
    (directory / "hf_quant_config.json").unlink()
    config = json.loads((directory / "config.json").read_text())
    config["llm_config"]["quantization_config"] = config.pop("quantization_config")
    config["llm_config"]["quantization_config"]["ignore"].remove("language_model.lm_head")
    (directory / "config.json").write_text(json.dumps(config))
    ckptfix.rewrite(directory, from_tensors=True)
    after = json.loads((directory / "config.json").read_text())
    assert "language_model.lm_head" in after["quantization_config"]["ignore"]
    assert "quantization_config" not in after["llm_config"]


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_lost_metadata_comes_back_from_the_tensors(
    name: str, copy_of: Callable[[str], Path]
) -> None:
    """As good as what it was, on every release: as good as the whole repair makes it."""
    directory = copy_of(name)
    wanted = verdicts(rebuilt(directory))
    forget_metadata(directory)
    made = rebuilt(directory)
    assert verdicts(made) == wanted
    assert not codes(made) - {"CKF101", "CKF109", "CKF306"}


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in FIXTURE_NAMES
        if not n.startswith(("old-", "recipe-nano4b", "nanoomni-mixed", KV_ONLY))
    ],
)
def test_metadata_that_matches_the_tensors_is_unchanged(name: str) -> None:
    checkpoint = load(FIXTURES / name)
    name_map = choose_name_map(checkpoint.config.architectures, checkpoint.config.nested)
    assert plan_rebuild(checkpoint, name_map) == ()


@pytest.mark.parametrize(
    "said",
    [
        {"quant_algo": None},
        {"quant_algo": "MIXED_PRECISION", "quantized_layers": {}},
        {"quant_algo": "NVFP4", "group_size": 16, "config_groups": {}},
    ],
)
def test_a_quantized_cache_alone_loads_everywhere_afterwards(
    said: dict[str, Any], copy_of: Callable[[str], Path]
) -> None:
    """Seen with the real loaders: they take its scales where every module is excluded."""
    directory = copy_of(KV_ONLY)
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"] |= said
    (directory / "config.json").write_text(json.dumps(config))
    before = ckptfix.check(directory)
    assert before.loads == "no"
    of_releases = [f for f in before.findings if f.code.startswith("CKF7")]
    assert of_releases
    assert all("from_tensors=True" in finding.advice for finding in of_releases)
    ckptfix.rewrite(directory, from_tensors=True)
    after = ckptfix.check(directory)
    literal = ("0.5.8", "0.5.8.post1")  # to these, the star of FP8 metadata is no wildcard
    assert {a.loads for a in after.runtimes if a.version not in literal} == {"yes"}
    assert {a.loads for a in after.runtimes if a.version in literal} == {"no"}
    assert not after.findings
    written = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert written["quant_algo"] == "FP8"
    assert written["ignore"] == ["*"]
    assert not {"quantized_layers", "group_size", "config_groups"} & written.keys()
    assert not ckptfix.plan(directory, from_tensors=True).changes_something


ATTENTION = {
    **fp8("model.layers.0.self_attn.q_proj"),
    **fp8("model.layers.0.self_attn.k_proj"),
    **fp8("model.layers.0.self_attn.v_proj"),
}
MLP = {**nvfp4("model.layers.0.mlp.up_proj"), **nvfp4("model.layers.0.mlp.gate_proj")}
BARE = bf16("model.layers.0.mlp.down_proj")
STORED = {
    "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
    "model.layers.0.self_attn.k_proj": {"quant_algo": "FP8"},
    "model.layers.0.self_attn.v_proj": {"quant_algo": "FP8"},
    "model.layers.0.mlp.up_proj": {"quant_algo": "NVFP4", "group_size": 16},
    "model.layers.0.mlp.gate_proj": {"quant_algo": "NVFP4", "group_size": 16},
}


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"model.layers.0.mlp.up_proj": {"quant_algo": "NVFP4"}},
        {**STORED, "model.layers.0.mlp.down_proj": {"quant_algo": "FP8"}},
        {**STORED, "model.layers.7.mlp.down_proj": {"quant_algo": "FP8"}},
        {**STORED, "model.layers.0.mlp.up_proj": {"quant_algo": "FP8"}},
        {**STORED, "model.layers.0.mlp.up_proj": {"quant_algo": "NVFP4", "group_size": 32}},
        {"model.layers.0": {"quant_algo": "FP8"}},
        {"model.layers.0.self_attn": {"quant_algo": "NVFP4", "group_size": 16}},
    ],
    ids=[
        "no entry",
        "group_size missing",
        "unquantized module named",
        "no such module",
        "wrong algo",
        "wrong group_size",
        "one entry over different formats",
        "container with the wrong algo",
    ],
)
def test_the_layer_map_declares_what_is_stored(broken: dict[str, Any], tmp_path: Path) -> None:
    quantization = {**mixed({}), "quantized_layers": broken, "quant_method": "modelopt"}
    made = rebuilt(llama(tmp_path / "c", {**ATTENTION, **MLP, **BARE}, quantization))
    named = dict(quantization_of(made)["quantized_layers"])
    if named.pop("model.layers.0.self_attn", None):
        assert named.keys() == {n for n in STORED if "mlp" in n}
    else:
        assert named == STORED
    assert codes(made) == set()


def test_a_uniform_file_over_mixed_tensors_becomes_a_layer_map(tmp_path: Path) -> None:
    quantization = {"quant_algo": "FP8", "ignore": [], "quant_method": "modelopt"}
    made = rebuilt(llama(tmp_path / "c", {**ATTENTION, **MLP, **BARE}, quantization))
    assert quantization_of(made)["quant_algo"] == "MIXED_PRECISION"
    assert quantization_of(made)["quantized_layers"] == STORED


def test_a_wrong_algorithm_for_the_whole_checkpoint_is_corrected(tmp_path: Path) -> None:
    quantization = {"quant_algo": "FP8", "ignore": ["model.layers.0.mlp.down_proj"]}
    made = rebuilt(
        llama(tmp_path / "c", {**MLP, **BARE}, {**quantization, "quant_method": "modelopt"})
    )
    value = quantization_of(made)
    assert value["quant_algo"] == "NVFP4"
    assert value["config_groups"]["group_0"]["weights"]["group_size"] == 16
    assert value["ignore"] == ["model.layers.0.mlp.down_proj"]


def test_patterns_spare_quantized_modules_and_cover_the_others(tmp_path: Path) -> None:
    tensors = {
        **fp8("model.layers.0.mlp.up_proj"),
        **fp8("model.layers.1.mlp.up_proj"),
        **bf16("model.layers.0.mlp.gate"),
        **bf16("model.layers.1.mlp.gate"),
        **bf16("visual.blocks.0.proj"),
        **bf16("visual.blocks.1.proj"),
    }
    quantization = {"quant_algo": "FP8", "ignore": ["model.layers.0*"], "quant_method": "modelopt"}
    made = rebuilt(llama(tmp_path / "c", tensors, quantization))
    gates = [f"model.layers.{layer}.mlp.gate" for layer in (0, 1)]
    assert quantization_of(made)["ignore"] == [*gates, "visual*"]
    assert codes(made) == set()


def test_identical_experts_are_one_entry_and_different_ones_are_many(tmp_path: Path) -> None:
    tensors: Shapes = {**fp8("model.layers.0.self_attn.o_proj")}
    for expert in range(2):
        tensors |= nvfp4(f"model.layers.0.mlp.experts.{expert}.up_proj")
        tensors |= nvfp4(f"model.layers.1.mlp.experts.{expert}.up_proj")
    tensors |= bf16("model.layers.1.mlp.experts.1.up_proj")
    del tensors["model.layers.1.mlp.experts.1.up_proj.weight_scale"]
    del tensors["model.layers.1.mlp.experts.1.up_proj.weight_scale_2"]
    del tensors["model.layers.1.mlp.experts.1.up_proj.input_scale"]
    made = rebuilt(llama(tmp_path / "c", tensors, None))
    assert set(quantization_of(made)["quantized_layers"]) == {
        "model.layers.0.self_attn.o_proj",
        "model.layers.0.mlp.experts",
        "model.layers.1.mlp.experts.0.up_proj",
    }


def test_targets_are_in_the_group_of_their_format(copy_of: Callable[[str], Path]) -> None:
    directory = copy_of("nanovl-mixed")
    path = directory / "config.json"
    config = json.loads(path.read_text())
    groups = config["quantization_config"]["config_groups"]
    wanted = {name: set(group["targets"]) for name, group in groups.items()}
    moved = groups["group_0"]["targets"].pop()
    del config["quantization_config"]["quantized_layers"][moved]
    groups["group_1"]["targets"].append(groups["group_0"]["targets"].pop())
    groups["group_1"]["targets"].append("language_model.backbone.layers.9.mixer.in_proj")
    path.write_text(json.dumps(config, indent=2))
    made = quantization_of(rebuilt(directory))
    assert {n: set(g["targets"]) for n, g in made["config_groups"].items()} == wanted
    assert moved in made["quantized_layers"]


def test_patterns_that_no_reader_understands_are_replaced(tmp_path: Path) -> None:
    tensors = {**fp8("model.layers.0.mlp.up_proj"), **bf16("visual.a"), **bf16("visual.b_proj")}
    patterns = ["re:visual.*", "b_proj", "visuel*", "lm_head"]
    quantization = {"quant_algo": "FP8", "ignore": patterns, "quant_method": "modelopt"}
    made = rebuilt(llama(tmp_path / "c", tensors, quantization))
    assert quantization_of(made)["ignore"] == ["lm_head", "visual*"]  # a tied head is not stored
    assert codes(made) == set()


@pytest.mark.parametrize("mixed_layers", [False, True])
def test_what_is_no_name_leaves_the_exclude_list(*, mixed_layers: bool, tmp_path: Path) -> None:
    """Vllm 0.33.0 and sglang 0.5.23 stop at a null in it."""
    tensors = {**fp8("model.layers.0.mlp.up_proj"), **bf16("visual.a")}
    quantization: dict[str, Any] = {"quant_algo": "FP8", "quant_method": "modelopt"}
    if mixed_layers:
        quantization = mixed({"model.layers.0.mlp.up_proj": "FP8"})
    ignored = ["lm_head", None, "visual.a", 3]
    made = rebuilt(llama(tmp_path / "c", tensors, {**quantization, "ignore": ignored}))
    assert quantization_of(made)["ignore"] == ["lm_head", "visual.a"]


def test_a_pattern_for_what_is_below_a_module_does_not_match_the_module(tmp_path: Path) -> None:
    """`lm_head.*` excludes no `lm_head` on vLLM, which then builds it as FP8."""
    directory = tmp_path / "c"
    shutil.copytree(DATA / "llama-fp8-kv8", directory)
    for file, root, key in (
        ("config.json", "quantization_config", "ignore"),
        ("hf_quant_config.json", "quantization", "exclude_modules"),
    ):
        value = json.loads((directory / file).read_text())
        value[root][key] = ["lm_head.*" if name == "lm_head" else name for name in value[root][key]]
        (directory / file).write_text(json.dumps(value))
    runtimes = ["vllm==0.33.0"]
    assert ckptfix.check(directory, runtimes=runtimes).runtimes[0].loads == "no"
    ckptfix.rewrite(directory, runtimes=runtimes, from_tensors=True)
    assert ckptfix.check(directory, runtimes=runtimes).runtimes[0].loads == "yes"


@pytest.mark.parametrize("pattern", ["re:.*lm_head", "base.lm_head", "lm_head.*", ""])
def test_a_tied_head_that_is_not_stored_is_excluded_again(
    pattern: str, copy_of: Callable[[str], Path]
) -> None:
    """vLLM builds it in NVFP4, because no tensor shows that it is none."""
    directory = copy_of("llama-nvfp4-tied")
    for name, key in (("config.json", "ignore"), ("hf_quant_config.json", "exclude_modules")):
        value = json.loads((directory / name).read_text())
        section = value.get("quantization_config") or value["quantization"]
        section[key] = [*([pattern] if pattern else []), "model.embed_tokens"]
        (directory / name).write_text(json.dumps(value, indent=2))
    before = ckptfix.check(directory, runtimes=["vllm==0.33.0"])
    assert before.loads == "no"
    assert before.advised is not None
    assert "from_tensors=True" in before.advised.arguments
    ckptfix.rewrite(directory, from_tensors=True)
    after = ckptfix.check(directory, runtimes=["vllm==0.33.0"])
    assert after.loads == "yes"
    assert not after.findings
    assert "lm_head" in quantization_of(load(directory))["ignore"]
    assert not ckptfix.plan(directory, from_tensors=True).changes_something
