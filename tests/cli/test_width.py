"""Every screen fits the terminal: no word is broken, and what is suggested can be pasted."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from importlib.util import find_spec
from pathlib import Path

import pytest

from ckptfix.report.layout import cells
from tests.builders import bf16, fp8, mixed, write_checkpoint
from tests.conftest import DATA, Run
from tests.terminal import read_all

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CHECKPOINTS = {
    "nano-vl": "nanovl-mixed",
    "clean": "llama-fp8-kv8",
    "refused": "recipe-nano4b-nvfp4_w4a16",
    "tensors": "nemotronh-moe-super-nulbug",
    "packed": "quantizers/awq-llama",
}
EVERY = ("--runtime", "vllm", "--runtime", "sglang")
COMMANDS = {
    "check": ("check", "nano-vl"),
    "check-every-release": ("check", "nano-vl", *EVERY),
    "check-verbose": ("check", "nano-vl", "--verbose"),
    "check-several": ("check", "nano-vl", "clean", "tensors", "nowhere", *EVERY),
    "rewrite": ("rewrite", "nano-vl", "--output", "made"),
    "rewrite-dry-run": ("rewrite", "nano-vl", "--dry-run", *EVERY),
    "rewrite-refused": ("rewrite", "refused", "--strategy", "rename"),
    "rewrite-tensors": ("rewrite", "tensors", "--tensors", "--output", "made"),
    "rewrite-several": ("rewrite", "nano-vl", "clean", "--dry-run"),
    "inspect": ("inspect", "nano-vl"),
    "resolve": ("resolve", "nano-vl", "*.3.mixer.*", *EVERY),
    "runtimes": ("runtimes",),
    "runtimes-architecture": ("runtimes", "NemotronH_Nano_VL_V2"),
    "runtimes-learned": ("runtimes", "NemotronH_Nano_VL_V2", "--runtime", "vllm==0.33.0"),
    "rules": ("rules",),
    "explain": ("explain", "CKF101"),
    "verify": ("verify", "nano-vl", "--device", "cpu"),
    "demo": ("demo", "demo"),
    "an-error": ("check", "nowhere/at/all/in/this/directory/there/is/no/checkpoint/of/that/name"),
}
WIDTHS = (60, 80, 120, 200)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    for name, fixture in CHECKPOINTS.items():
        if (DATA / fixture).is_dir():
            shutil.copytree(DATA / fixture, tmp_path / name)
    return tmp_path


def on_terminal(directory: Path, width: int, *arguments: str, term: str = "dumb") -> str:
    """What a command prints on a real terminal, without colours; a dumb one gets no bar."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    words = [sys.executable, "-m", "ckptfix", *arguments]
    with subprocess.Popen(
        words,
        cwd=directory,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": term},
    ) as process:
        made = read_all(ours, theirs, process)
    return COLOUR.sub("", made).replace("\r\n", "\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_screen_fits_the_terminal_and_breaks_no_word(
    name: str, checkpoints: Path, run: Run
) -> None:
    arguments = COMMANDS[name]
    if arguments[0] == "verify" and find_spec("torch") is None:
        pytest.skip("no torch")
    piped = run(*arguments)
    whole = set((piped.stdout + piped.stderr).split())
    for width in WIDTHS:
        for made in ("made", "demo"):
            shutil.rmtree(checkpoints / made, ignore_errors=True)
        shown = on_terminal(checkpoints, width, *arguments)
        assert shown.strip()
        assert_fits(shown, width)
        assert_whole(shown, whole)


def assert_fits(shown: str, width: int) -> None:
    in_patch = False
    for text in shown.splitlines():
        # A patch is what git takes: it is not fitted to anything.
        in_patch = text.startswith(("--- ", "+++ ", "@@ ")) or (in_patch and text[:1] in " +-")
        if not in_patch:
            assert cells(text) <= width, text


def assert_whole(shown: str, whole: set[str]) -> None:
    """Every word is one of those, folded or continued after a dot at most."""
    for word in shown.split():
        head, folded, tail = word.partition("...")
        assert (
            word in whole
            or word in ("\\", "#")
            or any(full.startswith(head) and full.endswith(tail) for full in whole if folded)
            or any(word in full and word[-1] in "./,_:=-" for full in whole)
            or any(full.endswith(word) and full[-len(word) - 1] in "./,_:=-" for full in whole)
            or re.fullmatch(r"[\d.]+", word)  # times
        ), word


def test_a_suggested_command_that_is_broken_into_lines_can_be_pasted(checkpoints: Path) -> None:
    long = checkpoints / ("a directory with a name as people write them " * 2).strip()
    (checkpoints / "nano-vl").rename(long)
    asked = ("--runtime", "vllm==0.17.1", "--runtime", "sglang==0.5.23")
    shown = on_terminal(checkpoints, 60, "check", long.name, *asked)
    command = shown.partition("Next step\n")[2].partition("#")[0]
    assert "\\\n" in command
    done = subprocess.run(
        ["bash", "-c", f'ckptfix() {{ printf "%s\\n" "$@"; }}\n{command}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["rewrite", long.name, *asked]


def test_a_pipe_has_no_width_unless_columns_is_set(checkpoints: Path, run: Run) -> None:
    assert any(len(text) > 100 for text in run("rules").stdout.splitlines())
    narrow = run("rules", COLUMNS="80").stdout
    assert all(len(text) <= 80 for text in narrow.splitlines())
    for term in ("dumb", "xterm-256color"):
        assert on_terminal(checkpoints, 80, "rules", term=term) == narrow


def test_names_that_would_fold_to_the_same_stay_whole(tmp_path: Path) -> None:
    names = [f"model.{'x' * 30}.{part}.{'y' * 40}.layer" for part in ("left", "right")]
    tensors = {k: v for name in names for k, v in fp8(name).items()} | bf16("lm_head")
    write_checkpoint(tmp_path / "c", tensors, mixed(dict.fromkeys(names, "FP8")))
    shown = on_terminal(tmp_path, 60, "check", "c", "--runtime", "vllm", "--verbose")
    assert ".left." in shown
    assert ".right." in shown


def test_wide_characters_count_twice(tmp_path: Path) -> None:
    name = "検査点" * 12
    write_checkpoint(tmp_path / name, fp8("model.a"), mixed({"model.a": "FP8"}))
    shown = on_terminal(tmp_path, 60, "check", name, "nowhere")
    assert all(cells(text) <= 60 for text in shown.splitlines() if name not in text)
