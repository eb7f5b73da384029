"""What a terminal shows, and what a pipe gets."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.builders import fp8, mixed, write_checkpoint
from tests.conftest import (
    DATA,
    Run,
)
from tests.terminal import read_all

NANO_VL = DATA / "nanovl-mixed"


def in_terminal(*arguments: object, **environment: str) -> str:
    """Run on a pseudo-terminal and return what it shows."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ckptfix", *map(str, arguments)],
        stdout=terminal,
        stderr=terminal,
        stdin=terminal,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    ) as process:
        return read_all(controller, terminal, process)


def test_a_terminal_gets_colour_and_a_pipe_none(run: Run) -> None:
    assert "\x1b[31m-" in in_terminal("rewrite", NANO_VL, "--dry-run")
    assert "\x1b[" not in in_terminal("rewrite", NANO_VL, "--dry-run", NO_COLOR="1")
    assert "\x1b[" not in run("rewrite", NANO_VL, "--dry-run").stdout
    assert "\x1b[" in run("check", NANO_VL, FORCE_COLOR="1").stdout


def test_output_survives_a_reader_that_goes_away() -> None:
    done = subprocess.run(
        f"{sys.executable} -m ckptfix rewrite {NANO_VL} --dry-run | head -n 1",
        shell=True,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "--- a/config.json\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_names_that_no_terminal_can_show_are_escaped(tmp_path: Path, run: Run) -> None:
    quantization = mixed({"a\x1b[31m\x00\ud800é": "FP8", "m.a": "FP8"})
    directory = write_checkpoint(tmp_path / "c", fp8("m.a"), quantization)
    done = run("check", directory)
    assert done.returncode == 1
    assert r"a\x1b[31m\x00\ud800é" in done.stdout
