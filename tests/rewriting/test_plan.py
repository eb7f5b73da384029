from pathlib import Path
from typing import Any

import pytest

from ckptfix.errors import CkptfixError
from ckptfix.names import NameMapper, Rule
from ckptfix.rewriting.plan import Plan, plan_rewrite
from ckptfix.runtimes.name_maps import NameMap, choose_name_map
from tests.builders import Shapes, bf16, fp8, mixed, nvfp4, write_checkpoint
from tests.conftest import FIXTURE_NAMES, FIXTURES, load


def plan(directory: Path, *rules: Rule) -> Plan:
    checkpoint = load(directory)
    if rules:
        return plan_rewrite(checkpoint, NameMap(NameMapper(rules), "--map", required=True))
    config = checkpoint.config
    return plan_rewrite(checkpoint, choose_name_map(config.architectures, config.nested))


def prefix(old: str, new: str | None) -> Rule:
    return Rule("prefix", old, new)


TRUNK: Shapes = {**fp8("backbone.a"), **nvfp4("backbone.b"), **bf16("lm_head")}
TO_MODEL = prefix("backbone", "model")


def test_every_place_that_names_a_module_changes_and_nothing_else(tmp_path: Path) -> None:
    quantization = mixed(
        {"backbone.a": "FP8", "backbone.b": "NVFP4"},
        ignore=["lm_head", "backbone2.x", "re:backbone.*"],
        config_groups={"g": {"targets": ["backbone.a", "Linear"]}},
    )
    made = plan(write_checkpoint(tmp_path, TRUNK, quantization), TO_MODEL)
    (change,) = made.files
    assert change.after.decode() == (
        change.before.replace('"backbone.a"', '"model.a"').replace('"backbone.b"', '"model.b"')
    )
    assert (change.renamed, change.removed) == (3, 0)
    assert made.names_per_rule == ((TO_MODEL, 3),)


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_a_rewrite_never_adds_a_finding_and_a_second_one_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    made = plan(FIXTURES / name)
    if made.refusals:
        assert name == "recipe-nano4b-nvfp4_w4a16"
        return
    assert len(made.findings_after) <= len(made.findings_before)
    for file in (FIXTURES / name).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for change in made.files:
        (tmp_path / change.file).write_bytes(change.after)
    again = plan(tmp_path)
    assert not again.files
    assert not again.refusals
    assert again.findings_after == made.findings_after


@pytest.mark.parametrize(
    "name",
    ["nanovl-mixed", "nanovl-mixed-sharded-split", "nanovl-fp8"],
)
def test_the_rewrite_of_these_leaves_nothing_to_find(name: str) -> None:
    made = plan(FIXTURES / name)
    assert made.findings_before
    assert made.findings_after == ()
    assert made.refusals == ()


def refused(directory: Path, quantization: dict[str, Any], tensors: Shapes, *rules: Rule) -> str:
    made = plan(write_checkpoint(directory, tensors, quantization), *rules)
    assert made.refusals
    return "\n".join(f"{r.name} {r.reason} at {r.place}" for r in made.refusals)


def test_a_renamed_entry_that_names_nothing_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, mixed({"backbone.c": "FP8"}), TRUNK, TO_MODEL)
    assert "backbone.c would become model.c, which matches no module of the checkpoint" in message
    assert "at config.json /quantization_config/quantized_layers/backbone.c" in message


def test_a_renamed_entry_that_is_stored_differently_is_refused(tmp_path: Path) -> None:
    message = refused(
        tmp_path, mixed({"backbone.a": "NVFP4", "backbone.b": "NVFP4"}), TRUNK, TO_MODEL
    )
    assert (
        "backbone.a would become model.a, whose module backbone.a is declared as NVFP4 but"
        in message
    )
    assert "stored as FP8" in message


def test_entries_that_collide_with_different_content_are_refused(tmp_path: Path) -> None:
    quantization = mixed({"backbone.a": "FP8", "model.a": "NVFP4", "backbone.b": "NVFP4"})
    message = refused(tmp_path, quantization, TRUNK, TO_MODEL)
    assert "would become model.a, but model.a already means that with different content" in message
    assert "FP8 against NVFP4 group_size 16" in message


def test_entries_that_collide_with_the_same_content_become_one(tmp_path: Path) -> None:
    quantization = mixed({"backbone.a": "FP8", "model.a": "FP8", "backbone.b": "NVFP4"})
    made = plan(write_checkpoint(tmp_path, TRUNK, quantization), TO_MODEL)
    assert not made.refusals
    assert made.files[0].after.count(b'"model.a"') == 1
    assert b"backbone" not in made.files[0].after
    assert (made.files[0].renamed, made.files[0].removed) == (1, 1)


def test_dropping_the_entry_of_a_quantized_module_is_refused(tmp_path: Path) -> None:
    quantization = mixed({"backbone.a": "FP8", "backbone.b": "NVFP4"})
    message = refused(tmp_path, quantization, TRUNK, prefix("backbone.b", None))
    assert "backbone.b is stored as NVFP4 but quantized_layers does not list it (CKF201" in message


def test_dropping_a_dead_pattern_is_not(tmp_path: Path) -> None:
    quantization = mixed({"backbone.a": "FP8", "backbone.b": "NVFP4"}, ignore=["mtp*", "lm_head"])
    made = plan(write_checkpoint(tmp_path, TRUNK, quantization), prefix("mtp", None))
    assert not made.refusals
    assert b'"ignore": [\n      "lm_head"\n    ]' in made.files[0].after


def test_a_pattern_that_would_come_to_exclude_a_quantized_module_is_refused(tmp_path: Path) -> None:
    quantization = mixed({"backbone.a": "FP8", "backbone.b": "NVFP4"}, ignore=["visual*"])
    message = refused(tmp_path, quantization, TRUNK, Rule("substr", "visual", "backbone.a"))
    assert "is stored as FP8 but backbone.a* excludes it (CKF205, introduced" in message


def test_a_map_that_is_not_stable_cannot_run(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TRUNK, mixed({"backbone.a": "FP8", "backbone.b": "NVFP4"}))
    with pytest.raises(CkptfixError, match=r"not stable: it turns backbone\.a into x\.a, and that"):
        plan(tmp_path, prefix("x", "y"), prefix("backbone", "x"))


def test_wildcards_are_kept(tmp_path: Path) -> None:
    tensors: Shapes = {**fp8("backbone.layers.0.q"), **bf16("backbone.layers.1.q")}
    quantization = {"quant_algo": "FP8", "ignore": ["backbone.layers.1*"]}
    made = plan(write_checkpoint(tmp_path, tensors, quantization), TO_MODEL)
    assert not made.refusals
    assert b'"model.layers.1*"' in made.files[0].after
