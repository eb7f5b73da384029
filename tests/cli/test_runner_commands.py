"""No name of a checkpoint and no argument acts on the runner of a CI job."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ckptfix.text import inert
from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.cli.test_pipes import in_terminal
from tests.cli.test_terminal import COLOUR
from tests.conftest import Call, Run
from tests.fuzz.guard import assert_harmless

COMMANDS = (
    "::error file=x::pwn",
    " ::add-mask::x",
    "\n::set-env name=A::b",
    "%0A::error::x",
    "##[error]x",
    "##vso[task.setvariable variable=PATH]x",
    "##VSO[task.complete]x",
    "##teamcity[buildStop]",
    "section_start:1:x\r\x1b[0Khead",
    "section_end:1:x\r\x1b[0K",
)
HIDDEN_IN_JSON = ("##[", "##vso[", "##VSO[", "##teamcity[", "section_start:", "section_end:")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Every command as the name of a module, an entry, a pattern, a producer and a directory."""
    tensors = bf16("lm_head")
    for number, name in enumerate(COMMANDS):
        tensors |= fp8(name) | fp8(f"model.layers.{number}.{name}")
    names = [*COMMANDS, *(f"model.layers.{n}.{name}" for n, name in enumerate(COMMANDS))]
    layers = dict.fromkeys(names[::2], "FP8") | {f"{name}.gone": "FP8" for name in names}
    quantization = mixed(
        layers,
        ignore=[*COMMANDS, *(f"re:{name}" for name in COMMANDS)],
        producer={"name": COMMANDS[0], "version": COMMANDS[5]},
        kv_cache_quant_algo=COMMANDS[4],
    )
    return write_checkpoint(tmp_path / "##[group]c ::x ##vso[a.b]", tensors, quantization)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "--verbose"],
        ["check", "--runtime", "vllm==0.33.0", "--runtime", "sglang"],
        ["check", "--format", "github"],
        ["check", "--format", "github", "--verbose"],
        ["inspect"],
        ["resolve", "*"],
        ["rewrite"],
        ["rewrite", "--from-tensors"],
        ["rewrite", "--map", "model=::error::x"],
        ["rewrite", "--output", "out ##[error]"],
        ["rewrite", "--output", "nowhere/##[error]"],
    ],
    ids=" ".join,
)
def test_reports_for_people(hostile: Path, run: Run, arguments: list[str], *, colour: bool) -> None:
    command, *options = arguments
    done = run(command, hostile, *options, **({"FORCE_COLOR": "1"} if colour else {}))
    assert done.returncode in (0, 1, 2)
    assert done.stdout + done.stderr
    assert_harmless(COLOUR.sub("", done.stdout), annotations="github" in options)
    assert_harmless(COLOUR.sub("", done.stderr))


def test_annotations_are_still_commands(hostile: Path, run: Run) -> None:
    lines = run("check", hostile, "--format", "github").stdout.splitlines()
    assert all(line.startswith(("::error file=", "::warning file=", "::notice ")) for line in lines)
    assert any(r"\x23#[error]x" in line for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        ["check", "--json"],
        ["check", "--format", "jsonl"],
        ["check", "--format", "sarif", "--verbose"],
        ["inspect", "--json"],
        ["check", "--json", "--runtime", "vllm==0.33.0"],
    ],
    ids=" ".join,
)
def test_json_has_the_same_values(hostile: Path, run: Run, options: list[str]) -> None:
    command, *more = options
    done = run(command, hostile, *more)
    assert_harmless(done.stdout)
    made = json.loads(done.stdout)
    assert hostile.name in json.dumps(made)
    if "--json" in more and command == "check":
        subjects = {f["subject"] for f in made["checkpoints"][0]["findings"]}
        assert {f"{name}.gone" for name in COMMANDS} <= subjects


def test_a_delete_character_leaves_json_valid(tmp_path: Path, run: Run) -> None:
    directory = write_checkpoint(tmp_path / "c", fp8("m.a"), mixed({"m.a": "FP8", "\x7f": "FP8"}))
    made = json.loads(run("check", directory, "--json").stdout)
    assert "\x7f" in {finding["subject"] for finding in made["checkpoints"][0]["findings"]}


def test_junit_has_the_same_values(hostile: Path, run: Run) -> None:
    done = run("check", hostile, "--format", "junit", "--verbose")
    assert_harmless(done.stdout)
    text = "".join(ET.fromstring(done.stdout).itertext())
    assert "##[error]x.gone" in text
    assert "::error file=x::pwn.gone" in text


def test_a_report_in_a_file(hostile: Path, run: Run, tmp_path: Path) -> None:
    for format_ in ("text", "junit", "sarif"):
        run("check", hostile, "--format", format_, "--output-file", "report")
        assert_harmless((tmp_path / "report").read_text())


def test_a_patch_is_exact_in_a_pipe_and_harmless_on_a_terminal(tmp_path: Path, run: Run) -> None:
    tensors = fp8("model.a") | fp8("##[error]x") | fp8("::error::x") | bf16("lm_head")
    layers = mixed(dict.fromkeys(["##[error]x", "trunk.a", "::error::x"], "FP8"))
    directory = write_checkpoint(tmp_path / "c", tensors, layers)
    options = ("rewrite", directory, "--dry-run", "--map", "trunk=model")
    done = run(*options)
    assert '"##[error]x": {' in done.stdout
    assert_harmless(done.stderr)
    for shown in (in_terminal(*options), run(*options, FORCE_COLOR="1").stdout):
        assert r"\x23#[error]x" in shown
        assert_harmless(COLOUR.sub("", shown.replace("\r\n", "\n")))


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_are_no_commands_either(call: Call, command: str) -> None:
    for arguments in (
        [command],
        ["check", command],
        ["check", f"--{command}"],
        ["check", "x", "--runtime", command],
        ["check", "x", "--select", command],
        ["check", "x", "--config", command],
        ["check", "x", "--format", command],
        ["check", "--from-file", command],
        ["check", "x", "--output-file", f"{command}/x"],
        ["check", "x", "--mapper", command],
        ["rewrite", "x", "--map", command],
        ["verify", command],
        ["inspect", command],
        ["explain", command],
        ["runtimes", command],
        ["demo", f"/dev/null/{command}"],
    ):
        done = call(*arguments)
        assert done.returncode == 2, arguments
        assert_harmless(done.stdout + done.stderr)


@pytest.mark.parametrize("text", [*COMMANDS, *(f"a\n\t{c}{c}" for c in COMMANDS)])
def test_what_is_escaped_in_json_comes_back(text: str) -> None:
    encoded = inert(json.dumps(text), lambda c: f"\\u{ord(c):04x}")
    assert json.loads(encoded) == text
    assert not any(mark in encoded for mark in HIDDEN_IN_JSON)
