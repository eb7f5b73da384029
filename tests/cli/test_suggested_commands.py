"""Every command that is printed can be pasted into a shell, whatever the checkpoint is called."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES, SHARED, Call, files_of
from tests.rewriting.killing import killed_at

NANO_VL = DATA / "nanovl-mixed"
NAMES = ("-rf", "-", "it's *", "$(touch pwned)`touch pwned`;#", "a\n\x1b[2J", "\u202egpj.\udcff")
SERVER = """\
import argparse, pathlib, sys
parser = argparse.ArgumentParser()
{arguments}
model = pathlib.Path(parser.parse_args().model_path)
sys.exit(0 if (model / "config.json").is_file() else 9)
"""
"""Takes its arguments as vLLM and SGLang do, and serves nothing."""


class Shell:
    """A shell in a folder where `ckptfix`, `vllm` and SGLang are commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "here"
        programs, modules = folder / "bin", folder / "modules"
        for made in (self.folder, programs, modules / "sglang"):
            made.mkdir(parents=True)
        for name, words in {
            "ckptfix": "-m ckptfix",
            "vllm": f"{modules}/vllm_serve.py",
            "python": "",
        }.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (programs / name).chmod(0o755)
        vllm = 'parser.add_argument("serve"); parser.add_argument("model_path")'
        (modules / "vllm_serve.py").write_text(SERVER.format(arguments=vllm))
        sglang = 'parser.add_argument("--model-path")'
        (modules / "sglang" / "launch_server.py").write_text(SERVER.format(arguments=sglang))
        found = filter(None, (str(modules), os.environ.get("PYTHONPATH")))
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR")},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": ":".join(found),
        }

    def paste(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line, as a person pastes it; it must not be misunderstood."""
        done = self.run(["bash", "-c", line])
        assert done.returncode in (0, 1), done.stderr
        return done

    def ckptfix(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.run(["ckptfix", *arguments])
        assert done.returncode in (0, 1), done.stderr
        return done

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            encoding="utf-8",
            cwd=self.folder,
            env=self.environment,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def commands(shown: str) -> list[str]:
    """Every line of a report that is a command, or ends in one."""
    first_screen = shown.partition("Next step\n")[2].partition("\n\n")[0].splitlines()
    ends = re.findall(
        r"^(?: *fix: run|undo with:|details:|more can be fixed from the tensors:|\$) (.*)$",
        shown,
        re.MULTILINE,
    )
    return [*(row for row in first_screen if not row.startswith("  nothing to run")), *ends]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_what_is_printed_of_a_checkpoint_can_be_pasted(shell: Shell, name: str) -> None:
    checkpoint = shell.folder / name
    shutil.copytree(NANO_VL, checkpoint)
    before = files_of(checkpoint)
    checked = shell.ckptfix("check", "--", name)
    assert checked.returncode == 1
    rewrite, fix = commands(checked.stdout)
    assert rewrite.partition("  # ")[0].strip() == fix
    rewritten = shell.paste(rewrite)
    assert rewritten.returncode == 0
    assert files_of(checkpoint) != before
    (served,) = commands(shell.ckptfix("check", "--", name).stdout)
    assert served.startswith("  vllm serve ")
    assert shell.paste(served).returncode == 0
    (undo,) = commands(rewritten.stdout)
    assert shell.paste(undo).stdout.startswith("restored config.json")
    assert files_of(checkpoint) == before
    assert os.listdir(shell.folder) == [name]


def copy_writable(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    return target


@pytest.mark.parametrize("name", ["-rf", "it's"])
@pytest.mark.parametrize(
    ("fixture", "options"),
    [
        ("nanovl-mixed", ["--runtime", "vllm==0.17.1"]),
        ("nemotronh-moe-super-nulbug", []),
        ("old-0.23.0-llama-mixed", []),
        ("recipe-nano4b-nvfp4_w4a16", ["--runtime", "sglang==0.5.23"]),
    ],
)
def test_what_a_command_prints_is_pasted_in_turn(
    shell: Shell, name: str, fixture: str, options: list[str]
) -> None:
    copy_writable(DATA / fixture, shell.folder / name)
    waiting = commands(shell.ckptfix("check", *options, "--", name).stdout)
    pasted = set[str]()
    while waiting:
        line = waiting.pop(0)
        if line not in pasted:
            pasted.add(line)
            waiting += commands(shell.paste(line).stdout)
    assert any(line.lstrip().startswith("ckptfix rewrite") for line in pasted)


@pytest.mark.parametrize("fixture", FIXTURE_NAMES)
def test_no_command_of_a_report_leaves_the_checkpoint_out(
    fixture: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-rf").symlink_to(FIXTURES / fixture)
    monkeypatch.chdir(tmp_path)
    flags = ("--runtime", "vllm==0.17.1", "--runtime", "vllm==0.33.0")
    for form in ("text", "github"):
        shown = call("check", "--format", form, *flags, "--", "-rf").stdout
        shown = re.sub(r"ckptfix rewrite(?: --[\w-]+)? repairs [\d,]+", "", shown)
        mentions = re.findall(r"ckptfix (?:check|rewrite|verify)\b.*", shown)
        for mention in mentions:
            assert re.match(r"ckptfix \w+(?: --runtime \S+| --[\w-]+)* -- -rf\b", mention), mention


@pytest.mark.parametrize("fixture", FIXTURE_NAMES)
def test_the_next_step_of_every_checkpoint_is_taken(
    fixture: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-rf").symlink_to(FIXTURES / fixture)
    monkeypatch.chdir(tmp_path)
    for line in commands(call("check", "--", "-rf").stdout):
        words = shlex.split(line, comments=True)
        if words[:2] == ["ckptfix", "rewrite"]:
            assert call("rewrite", "--dry-run", *words[2:]).returncode in (0, 1)
        else:
            assert words[-1] == "./-rf"


def test_the_case(shell: Shell) -> None:
    case = SHARED / "cases" / "hostile-directory-named-rf" / "-rf"
    if not case.is_dir():
        pytest.skip("../shared is not here")
    copy_writable(case, shell.folder / "-rf")
    lines = commands(shell.ckptfix("check", "--", "-rf").stdout)
    assert lines[0].startswith("  ckptfix rewrite --from-tensors -- -rf  # ")
    for line in lines:
        assert shell.paste(line).returncode == 0
    assert shell.ckptfix("check", "--", "-rf").stdout.endswith("-rf: clean\n")


def test_an_interrupted_rewrite_can_be_completed_and_rolled_back(shell: Shell) -> None:
    checkpoint, kept = shell.folder / "-rf 'x'", shell.folder / "kept"
    for step in range(2, 100, 8):  # the journal is there for more steps than that
        shutil.rmtree(checkpoint, ignore_errors=True)
        shutil.copytree(NANO_VL, checkpoint)
        assert killed_at(step, "rewrite", checkpoint) == -signal.SIGKILL
        if (checkpoint / ".ckptfix" / "journal.json").is_file():
            break
    shutil.copytree(checkpoint, kept)
    for group, findings in enumerate((False, True)):
        shutil.rmtree(checkpoint)
        shutil.copytree(kept, checkpoint)
        message = shell.run(["ckptfix", "check", str(checkpoint)]).stderr
        advice = re.search(r"; run (.*) to complete it or (.*) to roll it back", message)
        assert advice is not None
        shell.paste(advice[group + 1])
        done = shell.ckptfix("check", "--runtime", "vllm==0.17.1", "--", checkpoint.name)
        assert done.returncode == findings


def test_the_demo_shows_commands_that_can_be_pasted(shell: Shell) -> None:
    done = shell.ckptfix("demo", "--", "-rf")
    assert done.returncode == 0
    steps = commands(done.stdout)
    assert [step.split()[1] for step in steps if step.startswith("ckptfix")][:1] == ["check"]
    for number, step in enumerate(steps):
        if "--undo" not in step or step not in steps[:number]:  # the rewrite suggests it too
            shell.paste(step)
