"""Bad input: one clear sentence, exit code 2, nothing written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import Call, Run, files_of

TENSORS = {**fp8("m.a"), **bf16("lm_head")}


def remove(name: str) -> Callable[[Path], object]:
    return lambda directory: (directory / name).unlink()


def write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(data)


def index(weight_map: object) -> Callable[[Path], object]:
    data = json.dumps({"weight_map": weight_map}).encode()
    return write("model.safetensors.index.json", data)


def truncate(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


CASES = [
    (remove("config.json"), "neither config.json nor hf_quant_config.json"),
    (write("config.json", b'{\n "a": tru\n}'), "config.json:2:7: not valid JSON"),
    (write("config.json", b'{"a": 1, "a": 2}'), 'config.json:1:10 /a: duplicate key "a"'),
    (write("config.json", b"\xff"), "config.json: not UTF-8"),
    (write("hf_quant_config.json", b"[1]"), "hf_quant_config.json: holds a list instead of a JSON"),
    (write("config.json", b"null"), "config.json: holds null instead of a JSON object; download"),
    (write("config.json", b'{"a": "b'), "not valid JSON: unterminated string where the file ends"),
    (write("config.json", b'{"a":' * 9_999), "config.json: JSON nested too deeply; download"),
    (truncate, "is truncated or its header is wrong"),
    (write("model.safetensors", b"\x80\x04\x95abcdefghij"), "not a safetensors file but a pickle"),
    (remove("model.safetensors"), "no .safetensors file"),
    (write("config.json", b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
    (write("config.json", b""), "config.json: not a JSON file but an empty file; download the"),
    (write("config.json", b"<!DOCTYPE html><html>"), "not a JSON file but an HTML page"),
    (index({"m.a.weight": "gone.safetensors"}), "names gone.safetensors, which is missing"),
    (index({"m.a.weight": "../x.safetensors"}), "a file outside the checkpoint directory"),
    (index([]), "index.json /weight_map: is not a JSON object; download the index again"),
    (index({}), "index.json /weight_map: is empty; download the index again"),
    (write("model.safetensors.index.json", b"{}"), "index.json /weight_map: is missing; download"),
    (index({"m.a.weight": 1}), "/weight_map/m.a.weight: does not name a .safetensors file; "),
]


@pytest.mark.parametrize("command", ["check", "inspect", "rewrite"])
@pytest.mark.parametrize(("spoil", "message"), CASES)
def test_a_broken_checkpoint(
    tmp_path: Path, call: Call, command: str, spoil: Callable[[Path], object], message: str
) -> None:
    directory = write_checkpoint(tmp_path / "c", TENSORS, mixed({"m.a": "FP8"}))
    spoil(directory)
    before = files_of(directory)
    done = call(command, directory)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "; " in done.stderr  # what to do
    assert files_of(directory) == before
    no_shards = "no .safetensors file" in message or "which is missing" in message
    if command == "check" and no_shards:
        assert "(metadata only)" in done.stdout  # as far as that goes
    else:
        assert done.stdout == ""


def test_a_checkpoint_that_is_not_quantized(tmp_path: Path, run: Run) -> None:
    directory = write_checkpoint(tmp_path / "c", bf16("lm_head"))
    for command in ("check", "inspect", "rewrite"):
        done = run(command, directory)
        assert done.returncode == 2
        assert "not a quantized checkpoint" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere"], "nowhere: no such directory"),
        (["check", "file"], "file is a file, not a checkpoint directory"),
        (["rewrite", "c", "--map", "x"], "--map x: expected OLD=NEW"),
        (["rewrite", "c", "--mapper", "nowhere.toml"], "nowhere.toml: No such file"),
        (["rewrite", "c", "--mapper", "file"], "file: not valid TOML"),
        (["rewrite", "c", "--exit-code"], "--exit-code requires --dry-run"),
        (["rewrite", "c", "--undo", "--dry-run"], "--undo takes no other option"),
        (["rewrite", "c", "--undo"], "nothing to undo"),
        (["rewrite", "c", "--output", "no/where"], "does not exist"),
        (["rewrite"], "Missing argument 'CHECKPOINT...'"),
        (["check", "c", "--jsn"], "No such option"),
        (["chek", "c"], "No such command"),
    ],
)
def test_a_wrong_command_line(tmp_path: Path, run: Run, arguments: list[str], message: str) -> None:
    write_checkpoint(tmp_path / "c", TENSORS, mixed({"m.a": "FP8"}))
    (tmp_path / "file").write_text("not = [toml")
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
