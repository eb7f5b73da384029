"""The command line as a user meets it: real processes, pipes and exit codes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import (
    DATA,
    FIXTURE_NAMES,
    FIXTURES,
    Call,
    CopyOf,
    Run,
    files_but_the_backup,
    files_of,
)

NANO_VL = DATA / "nanovl-mixed"


def test_a_rewrite_leaves_the_weights_alone(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    done = run("rewrite", directory)
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"undo with: ckptfix rewrite {directory} --undo\n" in done.stdout
    weights = "model.safetensors"
    assert (directory / weights).read_bytes() == (NANO_VL / weights).read_bytes()


def test_a_rename_changes_nothing_but_names(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    assert run("rewrite", directory, "--strategy", "rename").returncode == 0
    for file in ("config.json", "hf_quant_config.json"):
        old = (NANO_VL / file).read_bytes()
        new = (directory / file).read_bytes()
        assert new == old.replace(b"language_model.backbone", b"language_model.model")


def test_a_second_rewrite_changes_nothing(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("nanovl-mixed")
    run("rewrite", directory)
    before = files_of(directory)
    done = run("rewrite", directory)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{directory}: nothing to rename\n")
    assert files_of(directory) == before


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_git_applies_the_dry_run_to_the_bytes_of_the_rewrite(
    name: str, copy_of: CopyOf, call: Call
) -> None:
    patched = copy_of(name)
    rewritten = patched.parent / "rewritten"
    shutil.copytree(patched, rewritten)
    before = files_of(patched)
    dry = call("rewrite", patched, "--dry-run")
    assert files_of(patched) == before
    done = call("rewrite", rewritten)
    assert dry.returncode == done.returncode
    if not dry.stdout:
        assert files_of(rewritten) == before
        return
    subprocess.run(
        ["git", "apply", "--whitespace=error-all", "-"],
        input=dry.stdout,
        encoding="utf-8",
        cwd=patched,
        check=True,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(patched.parent)},
    )
    after = files_but_the_backup(rewritten)
    assert files_of(patched) == after
    assert after != before


def test_dry_run_exit_codes(run: Run) -> None:
    assert run("rewrite", NANO_VL, "--dry-run").returncode == 0
    assert run("rewrite", NANO_VL, "--dry-run", "--exit-code").returncode == 1
    healthy = DATA / "llama-fp8-kv8"
    assert run("rewrite", healthy, "--dry-run", "--exit-code").returncode == 0


def test_a_dry_run_keeps_the_patch_and_the_talk_apart(run: Run) -> None:
    done = run("rewrite", NANO_VL, "-n")
    assert done.stdout.startswith("--- a/config.json\n+++ b/config.json\n@@ ")
    assert "would rewrite" not in done.stdout
    assert "36 names" in done.stderr
    assert "findings in metadata and tensors: 36 before, 0 after" in done.stderr


def test_a_refused_rewrite_writes_nothing_and_shows_the_place(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("recipe-nano4b-nvfp4_w4a16")
    before = files_of(directory)
    done = run("rewrite", directory, "--strategy", "rename")
    assert done.returncode == 1
    assert "refused" in done.stdout
    assert (
        "backbone.embeddings would become model.embeddings, which matches no module" in done.stdout
    )
    assert "at config.json /quantization_config/quantized_layers/backbone.embeddings" in done.stdout
    assert files_of(directory) == before


def test_a_users_own_map(tmp_path: Path, run: Run) -> None:
    tensors = {**fp8("trunk.a"), **bf16("lm_head")}
    directory = write_checkpoint(tmp_path / "c", tensors, mixed({"trunk.a": "FP8"}))

    def names_are_wrong(*maps: str) -> bool:
        shown = run("check", directory, *maps, "--select", "CKF1", "--json").stdout
        return bool(json.loads(shown)["checkpoints"][0]["findings"])

    assert not names_are_wrong()
    assert names_are_wrong("--map", "trunk=model")
    assert run("rewrite", directory, "--map", "trunk=model").returncode == 0
    assert '"model.a"' in (directory / "config.json").read_text()
    assert not names_are_wrong("--map", "trunk=model")
    assert names_are_wrong()


def test_a_mapper_file_and_maps_apply_in_order(tmp_path: Path, run: Run) -> None:
    tensors = {**fp8("trunk.a.linear"), **bf16("lm_head")}
    directory = write_checkpoint(tmp_path / "c", tensors, mixed({"trunk.a.linear": "FP8"}))
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nkind = "suffix"\nold = "linear"\nnew = ""\n')
    done = run("rewrite", directory, "--mapper", rules, "--map", "trunk=model")
    assert done.returncode == 0
    assert f"name map: {rules} and --map" in done.stdout
    assert '"model.a": {' in (directory / "config.json").read_text()


def test_quant_cfg_of_modelopt_0_23_is_rewritten_too(copy_of: CopyOf, run: Run) -> None:
    directory = copy_of("old-0.23.0-llama-mixed")
    done = run("rewrite", directory, "--map", "model=language_model.model")
    assert done.returncode == 0
    assert "quant_cfg.json" in done.stdout
    old = (DATA / "old-0.23.0-llama-mixed" / "quant_cfg.json").read_text()
    assert (directory / "quant_cfg.json").read_text() == old.replace(
        '"model.layers', '"language_model.model.layers'
    )


@pytest.mark.parametrize("removed", ["config.json", "hf_quant_config.json"])
def test_one_metadata_file_is_enough(copy_of: CopyOf, run: Run, removed: str) -> None:
    directory = copy_of("nanovl-mixed")
    (directory / removed).unlink()
    maps = ("--map", "language_model.backbone=language_model.model")
    asked = ("check", directory, *maps, "--ignore", "CKF7", "--json")
    assert json.loads(run(*asked).stdout)["checkpoints"][0]["findings"]
    assert run("rewrite", directory, *maps).returncode == 0
    assert not json.loads(run(*asked).stdout)["checkpoints"][0]["findings"]


def test_check_folds_similar_findings_and_unfolds_them_on_demand(run: Run) -> None:
    folded = run("check", NANO_VL)
    assert folded.returncode == 1
    assert (
        "language_model.backbone.layers.{0,2}.mixer.in_proj -> language_model.model"
        in folded.stdout
    )
    assert "at config.json /quantization_config/quantized_layers (12)" in folded.stdout
    assert folded.stdout.endswith(
        f"{NANO_VL}: does not load on sglang 0.5.23; 38 errors; ckptfix rewrite repairs 37\n"
    )
    unfolded = run("check", NANO_VL, "--verbose")
    assert unfolded.stdout.count(f"    fix: run ckptfix rewrite {NANO_VL}\n") == 36


WRONG = {
    "nemotronh-moe-super-nulbug": {"CKF108", "CKF109"},
    "nanoomni-mixed-naive": {"CKF101", "CKF302", "CKF306"},
    "recipe-nano4b-nvfp4_w4a16": {"CKF105", "CKF109", "CKF201", "CKF306"},
    "old-0.23.0-llama-mixed": {"CKF207"},
    # Native nemotron_h stores backbone.embedding and excludes backbone.embeddings, and vLLM 0.33.0
    # fails on it: no module or parameter named 'model.embedding'.
    "nemotronh-fp8": {"CKF105", "CKF109"},
    "nemotronh-nvfp4": {"CKF105", "CKF109"},
    "nemotronh-moe-nvfp4": {"CKF105", "CKF109"},
    "nemotronh-mixed": {"CKF109"},
    "nemotronh-moe-super": {"CKF109"},
    "nanovl-fp8": {"CKF101"},
    "nanovl-nvfp4": {"CKF101"},
    "nanovl-mixed": {"CKF101"},
    "nanovl-mixed-sharded-split": {"CKF101"},
    "nanoomni-fp8": {"CKF101"},
}


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_what_is_wrong_with_a_real_export_is_found_and_nothing_else(name: str, call: Call) -> None:
    done = call("check", FIXTURES / name, "--json")
    (checked,) = json.loads(done.stdout)["checkpoints"]
    found = {finding["code"] for finding in checked["findings"]}
    by_release = {code for code in found if code.startswith("CKF7")}
    assert found - by_release == WRONG.get(name, set())
    assert bool(by_release) == (checked["loads"] == "no")
    assert done.returncode == (1 if found else 0)


def test_sentinels_of_the_exporter_are_stripped_where_every_release_would_serve(
    copy_of: Callable[[str], Path], call: Call
) -> None:
    """vLLM and SGLang take `NAME.<NUL>sentinel` for something below NAME; other readers do not."""
    directory = copy_of("nemotronh-moe-super-nulbug")
    assert call("rewrite", directory, "--tensors").returncode == 0
    done = call("check", directory, "--runtime", "vllm>=0.20")  # before, no class reads nemotron_h
    assert (done.returncode, "pt_name_sentinel" in (directory / "config.json").read_text()) == (
        0,
        0,
    )


def test_demo_shows_the_repair(run: Run, tmp_path: Path) -> None:
    done = run("demo", tmp_path / "demo")
    assert done.returncode == 0
    steps = [line for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert [step.split()[2] for step in steps] == [
        "check",
        "rewrite",
        "rewrite",
        "check",
        "rewrite",
    ]
    assert f"\nthe checkpoint is in {tmp_path / 'demo'}, with the bug: " in done.stdout
    own = done.stdout.partition("\nYour own checkpoint")[2].splitlines()[1:]
    assert [line.strip() for line in own[::2]] == ["ckptfix check DIR", "ckptfix rewrite DIR"]
    assert f"{tmp_path / 'demo'}: clean" in done.stdout
    assert run("demo", tmp_path / "demo").returncode == 2
    # What the steps showed can be seen again.
    assert ".ckptfix" not in os.listdir(tmp_path / "demo")
    check = f"$ ckptfix check {tmp_path / 'demo'}\n"
    first = done.stdout.partition(check)[2].partition("\n\n# ")[0]
    assert run("check", tmp_path / "demo").stdout.rstrip() == first


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["rules"],
        ["check", str(NANO_VL)],
        ["check", str(NANO_VL), "--format", "sarif", "--runtime", "vllm==0.33.0"],
    ],
)
def test_start_up_imports_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import sys; from ckptfix.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'huggingface_hub', 'safetensors', 'numpy', 'rich', 'pydantic'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
