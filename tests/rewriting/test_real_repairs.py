"""A repair that is announced changes the bytes that are wrong, and reaches every runtime."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptfix.rewriting.rebuild.plan import plan_rebuild
from ckptfix.runtimes.name_maps import builtin_name_map
from tests.builders import (
    LLAMA_CONFIG,
    Shapes,
    bf16,
    fp8,
    mixed,
    nvfp4,
    whole_llama,
    write_checkpoint,
)
from tests.conftest import DATA, Call, check, files_of, load

ATTENTION = [f"model.layers.0.self_attn.{part}_proj" for part in "qkvo"]
MLP = [f"model.layers.0.mlp.{part}_proj" for part in ("gate", "up", "down")]
GROUP = {"num_bits": 4, "type": "float", "dynamic": False}


def tensors_of(**modules: list[str]) -> Shapes:
    made: dict[str, Callable[[str], Shapes]] = {"fp8": fp8, "nvfp4": nvfp4, "bf16": bf16}
    return {
        k: v for kind, names in modules.items() for n in names for k, v in made[kind](n).items()
    }


def with_group_size(directory: Path, top: int, inside: int | None) -> Path:
    """NVFP4 throughout, stored with groups of 16."""
    spec = GROUP if inside is None else {**GROUP, "group_size": inside}
    quantization = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "config_groups": {
            "group_0": {"input_activations": spec, "weights": spec, "targets": ["Linear"]}
        },
        "ignore": ["lm_head"],
        "group_size": top,
    }
    tensors = tensors_of(nvfp4=[*ATTENTION, *MLP], bf16=["lm_head"])
    return write_checkpoint(directory, tensors, quantization)


def config_of(directory: Path) -> dict[str, Any]:
    text = (directory / "config.json").read_text()
    found: dict[str, Any] = json.loads(text)["quantization_config"]
    return found


@pytest.mark.parametrize(("top", "inside"), [(32, 16), (0, 16), (16, 32), (32, 32), (32, None)])
def test_every_group_size_of_a_file_is_repaired(
    tmp_path: Path, call: Call, top: int, inside: int | None
) -> None:
    made = with_group_size(tmp_path / "c", top, inside)
    patch = call("rewrite", made, "--from-tensors", "--dry-run").stdout
    git = ["git", "apply", "--check", "-"]
    subprocess.run(git, cwd=made, input=patch, text=True, check=True)
    assert call("rewrite", made, "--from-tensors").returncode == 0
    config = config_of(made)
    assert config["group_size"] == 16
    assert config["config_groups"]["group_0"]["weights"]["group_size"] == 16
    assert not check(made)
    again = call("rewrite", made, "--from-tensors")
    assert "nothing to rename" in again.stdout


@pytest.mark.parametrize("inputs", [{}, {"input_activations": None}])
def test_inputs_that_config_groups_leave_out_are_declared_again(
    tmp_path: Path, call: Call, inputs: dict[str, None]
) -> None:
    group = {**inputs, "weights": {**GROUP, "group_size": 16}, "targets": ["Linear"]}
    quantization = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }
    tensors = whole_llama() | tensors_of(nvfp4=[*ATTENTION, *MLP])
    made = write_checkpoint(tmp_path / "c", tensors, quantization, extra_config=LLAMA_CONFIG)
    newest = ["--runtime", "vllm==0.33.0"]
    before = call("check", made, *newest)
    assert before.returncode == 1
    assert "no, loads and computes with the wrong weights" in before.stdout
    assert "config.json declares NVFP4 without input_activations" in before.stdout
    assert call("check", made, "--runtime", "vllm==0.28.0").returncode == 0
    assert call("rewrite", made, "--from-tensors").returncode == 0
    assert config_of(made)["config_groups"]["group_0"]["input_activations"]["num_bits"] == 4
    assert call("check", made, *newest).returncode == 0
    assert "nothing to rename" in call("rewrite", made, "--from-tensors").stdout


def test_a_group_size_above_the_map_follows_the_layers(tmp_path: Path, call: Call) -> None:
    layers = dict.fromkeys(ATTENTION, "FP8") | dict.fromkeys(MLP, "NVFP4")
    quantization = mixed(layers, quant_method="modelopt", group_size=32)
    tensors = tensors_of(fp8=ATTENTION, nvfp4=MLP, bf16=["lm_head"])
    made = write_checkpoint(tmp_path / "c", tensors, quantization)
    assert call("rewrite", made, "--from-tensors").returncode == 0
    assert config_of(made)["group_size"] == 16


def test_an_entry_for_a_block_becomes_entries_for_its_modules(tmp_path: Path, call: Call) -> None:
    """No runtime finds a module below the name of a block, but for experts."""
    layers = dict.fromkeys(ATTENTION, "FP8") | {"model.layers.0.mlp": "NVFP4"}
    quantization = mixed(layers, quant_method="modelopt", ignore=["lm_head"])
    tensors = tensors_of(fp8=ATTENTION, nvfp4=MLP, bf16=["lm_head"])
    made = write_checkpoint(tmp_path / "c", tensors, quantization)
    assert "--from-tensors" in call("check", made, "--runtime", "vllm==0.33.0").stdout
    assert call("rewrite", made, "--from-tensors").returncode == 0
    entries = config_of(made)["quantized_layers"]
    assert {*ATTENTION, *MLP} <= entries.keys()
    assert "model.layers.0.mlp" not in entries


def test_an_entry_for_a_module_of_an_unknown_format_stays(tmp_path: Path, call: Call) -> None:
    broken, unlisted = MLP[0], MLP[1]
    layers = dict.fromkeys([*ATTENTION, broken, MLP[2]], "FP8")
    tensors = tensors_of(fp8=[*ATTENTION, *MLP], bf16=["lm_head"])
    tensors[f"{broken}.weight_scale"] = "F32", (3, 3)
    quantization = mixed(layers, quant_method="modelopt", ignore=["lm_head"])
    made = write_checkpoint(tmp_path / "c", tensors, quantization)
    assert "CKF301" in call("check", made).stdout
    assert call("rewrite", made, "--from-tensors").returncode == 0
    assert {broken, unlisted} <= config_of(made)["quantized_layers"].keys()


def map_beside(directory: Path, excluded: list[str]) -> Path:
    """config.json MIXED_PRECISION without the map, as ModelOpt 0.42 wrote it."""
    layers = dict.fromkeys(ATTENTION, "FP8") | dict.fromkeys(MLP, "NVFP4")
    tensors = tensors_of(fp8=ATTENTION, nvfp4=MLP, bf16=["lm_head"])
    quantization = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "ignore": []}
    made = write_checkpoint(directory, tensors, quantization)
    producer = {"name": "modelopt", "version": "0.42.0"}
    beside = {"producer": producer, "quantization": mixed(layers, exclude_modules=excluded)}
    (made / "hf_quant_config.json").write_text(json.dumps(beside, indent=2))
    return made


def test_names_that_sglang_looks_up_are_added_to_the_file_that_it_reads(
    tmp_path: Path, call: Call
) -> None:
    made = map_beside(tmp_path / "c", ["lm_head"])
    done = call("rewrite", made, "--runtime", "vllm==0.33.0", "--runtime", "sglang==0.5.23")
    assert done.returncode == 0
    assert "names copied from hf_quant_config.json" in done.stdout
    config = config_of(made)
    fused = {"model.layers.0.self_attn.qkv_proj", "model.layers.0.mlp.gate_up_proj"}
    assert {*ATTENTION, *MLP, *fused} == config["quantized_layers"].keys()
    assert config["ignore"] == ["lm_head"]
    assert not check(made)


def test_the_map_is_kept_for_those_who_read_it_there(tmp_path: Path, call: Call) -> None:
    made = map_beside(tmp_path / "c", [])
    before = files_of(made)
    done = call("rewrite", made, "--runtime", "vllm==0.33.0")
    assert "nothing to rename" in done.stdout
    assert files_of(made) == before


def test_an_architecture_that_no_release_builds_keeps_its_names(tmp_path: Path, call: Call) -> None:
    names = [f"language_model.backbone.layers.0.mixer.{part}_proj" for part in ("in", "out")]
    made = write_checkpoint(
        tmp_path / "c",
        tensors_of(fp8=names),
        mixed(dict.fromkeys(names, "FP8"), quant_method="modelopt"),
        architecture="FooBarVL",
        extra_config={"llm_config": {"architectures": ["NemotronHForCausalLM"]}},
    )
    before = files_of(made)
    assert "nothing to rename" in call("rewrite", made).stdout
    assert files_of(made) == before
    moved = "--map", "language_model.backbone=language_model.model"
    assert call("rewrite", made, *moved).returncode == 0
    assert "language_model.model.layers.0.mixer.in_proj" in config_of(made)["quantized_layers"]


def test_a_pattern_without_effect_in_the_runtime_gets_the_name_next_to_it(
    tmp_path: Path, call: Call
) -> None:
    quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head.*"]}
    made = write_checkpoint(tmp_path / "c", whole_llama(), quantization, extra_config=LLAMA_CONFIG)
    before = call("check", made, "--runtime", "vllm==0.33.0")
    assert before.returncode == 1
    assert "1 of 5 modules built in a different format than stored" in before.stdout
    assert call("rewrite", made, "--runtime", "vllm==0.33.0").returncode == 0
    assert config_of(made)["ignore"] == ["lm_head.*", "lm_head"]
    assert call("check", made, "--runtime", "vllm==0.33.0").returncode == 0


def test_targets_that_name_nothing_go(tmp_path: Path, call: Call) -> None:
    for number, (wrong, left) in enumerate(
        [(["a.b"], ["Linear"]), (["a.b", ATTENTION[0]], [ATTENTION[0]])]
    ):
        groups = {"group_0": {"weights": {"num_bits": 8}, "targets": wrong}}
        quantization = {"quant_method": "modelopt", "quant_algo": "FP8", "config_groups": groups}
        tensors = tensors_of(fp8=[*ATTENTION, *MLP])
        made = write_checkpoint(tmp_path / f"{number}", tensors, quantization)
        assert {finding.code for finding in check(made)} == {"CKF105"}
        assert call("rewrite", made, "--from-tensors").returncode == 0
        assert config_of(made)["config_groups"]["group_0"]["targets"] == left
        assert not check(made)


def test_after_what_names_can_repair_the_advice_is_another(tmp_path: Path, call: Call) -> None:
    made = tmp_path / "omni"
    call("rewrite", DATA / "nanoomni-mixed-naive", "--from-tensors", "--output", made)
    shown = call("check", made).stdout
    assert "no, " in shown
    assert "ckptfix rewrite" not in shown
    assert "nothing to run: no rewrite makes it load" in shown


def test_a_rebuild_of_its_own_result_is_no_change() -> None:
    healthy = load(DATA / "nanovl-mixed")
    assert plan_rebuild(healthy, builtin_name_map(healthy)) == ()
