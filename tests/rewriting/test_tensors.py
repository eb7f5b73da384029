"""`rewrite --tensors` on real checkpoints: what is renamed, what is refused, what is left alone."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from safetensors import deserialize

from ckptfix.checkpoint.shard_index import INDEX_FILE
from tests.builders import LLAMA_CONFIG, Shapes, bf16, fp8, mixed, whole_llama, write_checkpoint
from tests.conftest import Call, CopyOf, Run, files_of
from tests.rewriting.test_apply import hub_cache

SHARD = "model.safetensors"
TO_MODEL = ("--map", "language_model.backbone=language_model.model")


def tensors_of(path: Path) -> dict[str, bytes]:
    read = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    return {name: bytes(tensor["data"]) for name, tensor in read}


def codes(call: Call, directory: Path, *options: str) -> list[str]:
    checked = json.loads(call("check", directory, "--json", *options).stdout)["checkpoints"][0]
    return [finding["code"] for finding in checked["findings"]]


def test_the_embedding_of_nemotron_h_gets_the_name_that_runtimes_load(
    copy_of: CopyOf, call: Call
) -> None:
    directory = copy_of("recipe-nano4b-nvfp4_w4a16")
    shard = directory / SHARD
    before, state = tensors_of(shard), shard.stat()
    outlook = call("check", directory).stdout
    assert f"ckptfix rewrite {directory} --tensors" in outlook
    assert {"CKF105", "CKF109", "CKF201"} <= set(codes(call, directory))
    done = call("rewrite", directory, "--tensors")
    assert done.returncode == 0
    assert "3 names changed" in done.stdout
    assert "header edited in place; tensor data untouched" in done.stdout
    new = {name.replace("backbone.embedding.", "backbone.embeddings.") for name in before}
    after = tensors_of(shard)
    assert set(after) == new
    assert sorted(after.values()) == sorted(before.values())
    assert (shard.stat().st_ino, shard.stat().st_size) == (state.st_ino, state.st_size)
    assert not {"CKF105", "CKF109", "CKF201"} & set(codes(call, directory))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_what_wrapped_the_model_in_training_is_taken_off(
    prefix: str, call: Call, tmp_path: Path
) -> None:
    """Both real loaders take the result for an NVFP4 Llama, and neither takes it as it was."""
    wrapped = {f"{prefix}{name}": stored for name, stored in whole_llama().items()}
    metadata = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": [f"{prefix}lm_head"]}
    directory = write_checkpoint(tmp_path / "m", wrapped, metadata, extra_config=LLAMA_CONFIG)
    assert f"ckptfix rewrite {directory} --tensors" in call("check", directory).stdout
    assert call("rewrite", directory, "--tensors").returncode == 0
    assert set(tensors_of(directory / SHARD)) == set(whole_llama())
    done = call("check", directory)
    assert done.returncode == 0, done.stdout


def test_an_adapter_keeps_its_names(call: Call, tmp_path: Path) -> None:
    """The servers read it apart, from names that start with base_model.model."""
    adapter = bf16("base_model.model.model.layers.0.self_attn.q_proj.lora_A", 4, 32)
    metadata = {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}
    tensors = {**whole_llama(), **adapter}
    directory = write_checkpoint(tmp_path / "m", tensors, metadata, extra_config=LLAMA_CONFIG)
    assert "CKF109" not in call("check", directory).stdout


def test_undo_restores_bytes_mode_and_time(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    (directory / SHARD).chmod(0o640)
    os.utime(directory / SHARD, ns=(1, 1_600_000_000_123_456_789))
    old = files_of(directory)
    assert call("rewrite", directory, "--tensors", *TO_MODEL).returncode == 0
    assert files_of(directory) != old
    done = call("rewrite", directory, "--undo")
    assert "restored config.json, hf_quant_config.json, model.safetensors" in done.stdout
    assert files_of(directory) == old
    assert (directory / SHARD).stat().st_mode & 0o777 == 0o640
    assert (directory / SHARD).stat().st_mtime_ns == 1_600_000_000_123_456_789


def test_index_and_metadata_follow_the_tensors(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed-sharded-split")
    index = (directory / INDEX_FILE).read_text()
    inodes = {path.name: path.stat().st_ino for path in directory.glob("*.safetensors")}
    config = json.loads((directory / "config.json").read_text())
    assert call("rewrite", directory, "--tensors", *TO_MODEL).returncode == 0
    renamed = index.replace("language_model.backbone.", "language_model.model.")
    assert (directory / INDEX_FILE).read_text() == renamed
    stored = {n for path in directory.glob("*.safetensors") for n in tensors_of(path)}
    assert stored == set(json.loads(renamed)["weight_map"])
    new = json.loads((directory / "config.json").read_text())["quantization_config"]
    old_names = {*config["quantization_config"]["quantized_layers"]}
    assert {n.replace(".backbone.", ".model.") for n in old_names} <= {*new["quantized_layers"]}
    assert {p.name: p.stat().st_ino for p in directory.glob("*.safetensors")} == inodes
    assert codes(call, directory, "--ignore", "CKF7") == []


def test_longer_names_move_the_data_of_that_shard_only(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("llama-fp8-kv8")
    before = tensors_of(directory / SHARD)
    old = files_of(directory)
    rename = "--map", "model.embed_tokens=model.a_table_of_embeddings"
    done = call("rewrite", directory, "--tensors", *rename)
    assert done.returncode == 0
    assert "copied, because the new names do not fit into its header" in done.stdout
    after = tensors_of(directory / SHARD)
    assert after["model.a_table_of_embeddings.weight"] == before["model.embed_tokens.weight"]
    assert sorted(after.values()) == sorted(before.values())
    assert call("rewrite", directory, "--undo").returncode == 0
    assert files_of(directory) == old


def test_other_hard_links_keep_the_old_names(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("recipe-nano4b-nvfp4_w4a16")
    other = directory.parent / "other.safetensors"
    os.link(directory / SHARD, other)
    before = other.read_bytes()
    done = call("rewrite", directory, "--tensors")
    assert done.returncode == 0
    assert "copied, because it has other hard links, which keep the old names" in done.stdout
    assert other.read_bytes() == before
    assert "backbone.embeddings.weight" in tensors_of(directory / SHARD)


def test_output_renames_in_a_copy_and_links_the_rest(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed-sharded-split")
    before = files_of(directory)
    target = directory.parent / "out"
    rename = "--map", "vision_model=a_model_of_vision"
    done = call("rewrite", directory, "--tensors", *rename, "--output", target)
    assert done.returncode == 0, done.stdout
    assert "weight files copied with new names" in done.stdout
    assert files_of(directory) == before
    first = "model-00001-of-00017.safetensors"
    assert (target / first).samefile(directory / first)
    stored = {n for path in target.glob("*.safetensors") for n in tensors_of(path)}
    assert stored == set(json.loads((target / INDEX_FILE).read_text())["weight_map"])


@pytest.mark.parametrize("linked", [True, False], ids=["blobs", "files"])
def test_a_hub_cache_is_refused_and_output_is_named(
    copy_of: CopyOf, call: Call, tmp_path: Path, linked: bool
) -> None:
    source = copy_of("recipe-nano4b-nvfp4_w4a16")
    snapshot = hub_cache(tmp_path, source)
    if not linked:  # as on a file system without links
        shutil.rmtree(snapshot)
        shutil.copytree(source, snapshot)
    before = files_of(tmp_path / "models--x")
    done = call("rewrite", snapshot, "--tensors")
    assert done.returncode == 2
    assert "Hugging Face cache, which ckptfix never modifies; use --output DIR" in done.stderr
    assert files_of(tmp_path / "models--x") == before
    assert call("rewrite", snapshot, "--tensors", "--output", tmp_path / "out").returncode == 0
    assert "backbone.embeddings.weight" in tensors_of(tmp_path / "out" / SHARD)
    assert files_of(tmp_path / "models--x") == before


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        (
            "model.layers.0.mlp.up_proj=model.layers.0.mlp.gate_proj",
            "new name of model.layers.0.mlp.gate_",
        ),
        ("model.norm.weight=", "which is not a valid tensor name"),
        ("model.norm.weight=__metadata__", "which is not a valid tensor name"),
        ("model.norm=model.norm\udc80", "which is not a valid tensor name"),
    ],
)
def test_a_rename_that_cannot_be_is_refused(
    copy_of: CopyOf, call: Call, rename: str, message: str
) -> None:
    directory = copy_of("llama-fp8-kv8")
    before = files_of(directory)
    done = call("rewrite", directory, "--tensors", "--map", rename)
    assert done.returncode == 1
    assert message in done.stdout
    assert files_of(directory) == before


def test_a_rule_that_drops_a_tensor_is_refused(copy_of: CopyOf, call: Call, tmp_path: Path) -> None:
    mapper = tmp_path / "rules.toml"
    mapper.write_text('[[rules]]\nkind = "prefix"\nold = "lm_head"\ndrop = true\n')
    directory = copy_of("llama-fp8-kv8")
    done = call("rewrite", directory, "--tensors", "--mapper", mapper)
    assert done.returncode == 1
    assert "tensors can be renamed but never dropped" in done.stdout


def test_a_tensor_that_index_and_header_place_differently_is_not_renamed(
    copy_of: CopyOf, call: Call
) -> None:
    directory = copy_of("nanovl-mixed-sharded-split")
    index = json.loads((directory / INDEX_FILE).read_text())
    tensor = "language_model.backbone.layers.0.norm.weight"
    index["weight_map"][tensor] = "model-00017-of-00017.safetensors"
    (directory / INDEX_FILE).write_text(json.dumps(index, indent=2))
    before = files_of(directory)
    rename = "--map", "language_model.backbone.layers.0=language_model.backbone.layers.7"
    done = call("rewrite", directory, "--tensors", *rename)
    assert done.returncode == 1
    assert f"{INDEX_FILE} and the headers disagree" in done.stdout
    assert files_of(directory) == before


def test_an_entry_that_would_come_to_lie_is_refused(call: Call, tmp_path: Path) -> None:
    tensors = {**fp8("model.layers.0.mlp.up_proj"), **bf16("model.layers.0.mlp.down_proj")}
    entries = mixed({"model.layers.0.mlp.up_proj": "FP8", "model.layers.0.mlp.other": "FP8"})
    directory = write_checkpoint(tmp_path / "c", tensors, entries)
    rename = "--map", "model.layers.0.mlp.down_proj=model.layers.0.mlp.other"
    done = call("rewrite", directory, "--tensors", *rename)
    assert done.returncode == 1
    assert "introduced by the rewrite" in done.stdout


def test_experts_named_behind_the_projection_are_turned_round(call: Call, tmp_path: Path) -> None:
    parts = [("gate_proj", n) for n in range(3)] + [("up_proj", n) for n in range(3)]
    tensors: Shapes = {}
    for part, n in parts:
        tensors |= fp8(f"model.layers.0.mlp.experts.{part}.{n}")
    entries = mixed({f"model.layers.0.mlp.experts.{part}.{n}": "FP8" for part, n in parts})
    directory = write_checkpoint(tmp_path / "c", tensors, entries)
    assert "CKF308" in codes(call, directory)
    shown = call("rewrite", directory, "--tensors", "--dry-run").stdout
    assert "\n- model.layers.0.mlp.experts.gate_proj.{0-2}.weight\n" in shown
    assert "\n+ model.layers.0.mlp.experts.{0-2}.gate_proj.weight\n" in shown
    assert call("rewrite", directory, "--tensors").returncode == 0
    assert "CKF308" not in codes(call, directory)
    config = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert "model.layers.0.mlp.experts.0.gate_proj" in config["quantized_layers"]


def test_dry_run_writes_nothing_and_git_applies_its_patch_of_the_metadata(
    copy_of: CopyOf, run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    shown = run("rewrite", directory, "--tensors", *TO_MODEL, "--dry-run", "--exit-code")
    assert shown.returncode == 1
    assert shown.stdout.startswith("tensors of model.safetensors\n- language_model.backbone.")
    assert "\n+ language_model.model.layers.{0-4}.norm.weight\n" in shown.stdout
    assert files_of(directory) == before
    subprocess.run(["git", "apply", "-"], cwd=directory, input=shown.stdout, text=True, check=True)
    patched = (directory / "config.json").read_bytes()
    for name in ("config.json", "hf_quant_config.json"):
        (directory / name).write_bytes(before[name])
    assert run("rewrite", directory, "--tensors", *TO_MODEL).returncode == 0
    assert (directory / "config.json").read_bytes() == patched != before["config.json"]


def test_if_no_tensor_is_misnamed_nothing_happens(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("llama-fp8-kv8")
    before = files_of(directory)
    done = call("rewrite", directory, "--tensors")
    assert done.returncode == 0
    assert "no tensor to rename (name map: known tensor names)" in done.stdout
    assert files_of(directory) == before
