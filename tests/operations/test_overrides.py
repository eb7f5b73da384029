"""Serving a checkpoint as it is: what is printed loads it, and nothing is written."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import ckptfix
from ckptfix.operations.overrides import MOST_BYTES
from tests.builders import fp8, mixed, write_checkpoint
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, Call, files_of

CopyOf = Callable[[str], Path]
OLD = ("--runtime", "vllm==0.17.1")


def commands(stdout: str) -> list[list[str]]:
    return [shlex.split(line) for line in stdout.splitlines() if not line.startswith("#")]


def with_override(directory: Path, override: str) -> None:
    """What a server does with it: the value takes the place of the one in config.json."""
    config = directory / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | json.loads(override)))


def test_what_is_passed_is_loaded_and_nothing_is_written(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    done = call("rewrite", directory, "--overrides", *OLD)
    assert done.returncode == 0, done.stderr
    assert files_of(directory) == before
    assert done.stdout.startswith("# vllm 0.17.1: loads with --hf-overrides\n")
    (command,) = commands(done.stdout)
    assert command[:4] == ["vllm", "serve", str(directory), "--hf-overrides"]
    assert call("check", directory, *OLD).returncode == 1
    with_override(directory, command[4])
    assert ckptfix.check(directory, runtimes=["vllm==0.17.1"]).loads.value == "yes"


def test_a_shell_takes_what_is_printed(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    script = call("rewrite", directory, "--overrides").stdout
    shown = subprocess.run(
        ["bash", "-c", f'vllm() {{ printf "%s\\n" "$@"; }}\n{script}'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert shown[:3] == ["serve", str(directory), "serve"]
    assert json.loads(shown[-1])["quantization_config"]["quantized_layers"]


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_fixture_is_served_as_its_override_declares(
    name: str, tmp_path: Path, call: Call
) -> None:
    done = call("rewrite", FIXTURES / name, "--from-tensors", "--overrides", "--json")
    (report,) = json.loads(done.stdout)["checkpoints"]
    if report["error"]:
        pytest.skip(report["error"])
    overrides = dict.fromkeys(way["override"] for way in report["serve"] if way["override"])
    for number, override in enumerate(overrides):
        made = tmp_path / str(number)
        made.mkdir()
        for path in (FIXTURES / name).iterdir():
            (made / path.name).write_bytes(path.read_bytes())
        with_override(made, override)
        releases = [w for w in report["serve"] if w["override"] == override]
        asked = [f"{way['runtime']}=={way['version']}" for way in releases]
        found = ckptfix.check(made, runtimes=asked)
        assert [answer.loads.value for answer in found.runtimes] == ["yes"] * len(asked)
        assert all(shlex.split(way["command"])[-1] == override for way in releases)


def test_what_only_hf_quant_config_declares_is_passed_too(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("nanovl-mixed")
    assert call("rewrite", directory).returncode == 0
    config = json.loads((directory / "config.json").read_text())
    del config["quantization_config"]
    (directory / "config.json").write_text(json.dumps(config))
    done = call("rewrite", directory, "--overrides", *OLD)
    assert done.returncode == 0
    (command,) = commands(done.stdout)
    passed = json.loads(command[-1])["quantization_config"]
    assert passed["quant_method"] == "modelopt"  # 0.17.1 does not take the form of the file
    with_override(directory, command[-1])
    assert ckptfix.check(directory, runtimes=["vllm==0.17.1"]).loads.value == "yes"


def test_nothing_is_passed_where_nothing_helps_or_nothing_is_needed(
    copy_of: CopyOf, call: Call
) -> None:
    done = call("rewrite", copy_of("nanovl-mixed"), "--overrides", "--runtime", "sglang==0.5.23")
    assert done.returncode == 1
    assert done.stdout.startswith("# sglang 0.5.23: does not load: stops: ")
    assert commands(done.stdout) == []
    fine = call("rewrite", DATA / "llama-fp8-kv8", "--overrides", "--runtime", "sglang==0.5.23")
    assert fine.returncode == 0
    (command,) = commands(fine.stdout)
    assert command[-2:] == ["--model-path", str(DATA / "llama-fp8-kv8")]


def test_sglang_takes_its_own_option(tmp_path: Path, call: Call) -> None:
    directory = tmp_path / "c"
    directory.mkdir()
    for path in (DATA / "llama-fp8-kv8").iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    config = json.loads((directory / "config.json").read_text())
    config["quantization_config"]["ignore"] = ["model.*"]
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "hf_quant_config.json").unlink()
    arguments = ("--from-tensors", "--overrides", "--runtime", "sglang==0.5.23")
    (command,) = commands(call("rewrite", directory, *arguments).stdout)
    assert command[-2] == "--json-model-override-args"
    assert json.loads(command[-1])["quantization_config"]["ignore"] == ["lm_head"]


def test_an_argument_that_is_too_long_is_not_printed(tmp_path: Path, call: Call) -> None:
    names = [f"language_model.backbone.layers.{i}.mixer.in_proj" for i in range(3000)]
    layers = dict.fromkeys(names, "FP8")
    directory = write_checkpoint(
        tmp_path / "c",
        fp8(names[0]),
        mixed(layers, quant_method="modelopt"),
        architecture="NemotronH_Nano_VL_V2",
    )
    assert len((directory / "config.json").read_bytes()) > MOST_BYTES
    done = call("rewrite", directory, "--overrides", *OLD)
    assert all(len(word) <= MOST_BYTES for words in commands(done.stdout) for word in words)
    assert "--overrides" not in call("check", directory, *OLD).stdout


@pytest.mark.parametrize(
    "option", ["--dry-run", "--tensors", "--create-pr", "--verify", "--output=x", "--undo"]
)
def test_what_writes_or_cannot_be_passed_is_refused(option: str, call: Call) -> None:
    done = call("rewrite", DATA / "nanovl-mixed", "--overrides", option)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --")


def test_check_suggests_the_command_if_it_helps(call: Call) -> None:
    shown = call("check", DATA / "nanovl-mixed", *OLD).stdout
    assert f"ckptfix rewrite {DATA / 'nanovl-mixed'} --runtime vllm==0.17.1 --overrides" in shown
    for arguments in ((DATA / "nanovl-mixed",), (DATA / "llama-fp8-kv8", *OLD)):
        assert "--overrides" not in call("check", *arguments).stdout
