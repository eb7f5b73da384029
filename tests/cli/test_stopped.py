"""SIGINT: one line that says what was written until then, and exit code 130."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DATA, CopyOf, Run, files_of

NANO_VL = DATA / "nanovl-mixed"
SENDER = """
import os, signal, sys

event, word, *arguments = sys.argv[1:]
sys.argv[1:] = arguments

def send(name, details):
    subject = (*details, "", "")[name == "os.rename"]
    if name == event and str(subject).endswith(word):
        os.kill(os.getpid(), signal.SIGINT)

# A shell starts what runs in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(send)
from ckptfix.__main__ import script
script()
"""
"""Sends itself SIGINT at an audit event: `open` of a file, `os.rename` to it, `import` of it."""


def stopped_at(event: str, word: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SENDER, event, word, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, encoding="utf-8", timeout=300)


@pytest.mark.parametrize("command", ["check", "rewrite", "inspect"])
@pytest.mark.parametrize(
    ("event", "word"),
    [("import", "typer"), ("import", "ckptfix.operations.loading"), ("open", "config.json")],
)
def test_nothing_was_written(command: str, event: str, word: str, copy_of: CopyOf) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    done = stopped_at(event, word, command, directory)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing was written\n"
    assert files_of(directory) == before


def test_several_checkpoints_of_which_none_was_reported() -> None:
    done = stopped_at("open", "llama-fp8-kv8/config.json", "check", NANO_VL, DATA / "llama-fp8-kv8")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing was written\n"


def test_a_check_in_several_processes_that_is_stopped_while_it_starts_them(tmp_path: Path) -> None:
    """Processes without the thread that feeds them would be waited for without end."""
    names = [tmp_path / str(number) for number in range(16)]
    for name in names:
        shutil.copytree(NANO_VL, name)
    done = stopped_at("os.fork", "", "check", "--jobs", "2", *names)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing was written\n"


def test_a_rewrite_that_is_stopped_before_it_is_decided_leaves_nothing(copy_of: CopyOf) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    done = stopped_at("os.rename", ".ckptfix/.gitignore", "rewrite", directory)
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing was written\n")
    assert files_of(directory) == before
    assert not (directory / ".ckptfix").exists()


def test_a_rewrite_that_is_stopped_in_the_middle_is_reported_as_such(
    copy_of: CopyOf, run: Run
) -> None:
    directory = copy_of("nanovl-mixed")
    before = files_of(directory)
    done = stopped_at("os.rename", "/hf_quant_config.json", "rewrite", directory)
    assert done.returncode == 130
    assert done.stderr.startswith(f"{directory}: the rewrite was interrupted; run ckptfix rewrite")
    assert run("rewrite", directory, "--undo").returncode == 0
    assert files_of(directory) == before


def test_what_was_rewritten_before_is_named(copy_of: CopyOf) -> None:
    first, second = copy_of("nanovl-mixed"), copy_of("nanovl-mixed-sharded-split")
    before = files_of(second)
    done = stopped_at("open", f"{second.name}/config.json", "rewrite", first, second)
    assert done.returncode == 130
    assert done.stderr == f"interrupted; the rewrite of {first} is done\n"
    assert files_of(second) == before
