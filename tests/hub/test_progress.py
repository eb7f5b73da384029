"""A bar on a terminal, and nothing of it in the report."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.conftest import DATA
from tests.hub.repositories import blobs_of
from tests.hub.state import Fault, Hub
from tests.terminal import read_all


def test_a_terminal_sees_which_headers_are_read(hub: Hub, environment: dict[str, str]) -> None:
    hub.add("org/nano", blobs_of(DATA / "nanovl-mixed-sharded-split"))
    hub.faults.append(Fault("model-00017-of-00017.safetensors?signature", silence=3))
    leader, follower = pty.openpty()
    terminal = {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "20"}
    with subprocess.Popen(
        [sys.executable, "-m", "ckptfix", "inspect", "org/nano"],
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
        env={**os.environ, **environment, **terminal},
    ) as process:
        shown = read_all(leader, follower, process)
        assert process.stdout is not None
        stdout = process.stdout.read()
    assert process.returncode == 0
    assert "org/nano: reading headers" in shown
    assert "16/17" in shown
    assert stdout.startswith("checkpoint    org/nano\n")
    assert "\x1b" not in stdout


DOWNLOAD = """
import json, sys, ckptfix
steps = []
listener = ckptfix.Listener(step=lambda step: steps.append((step.what, step.done, step.total)))
ckptfix.rewrite("org/nano", output=sys.argv[1], with_weights=True, listener=listener)
json.dump(steps, open(sys.argv[2], "w"))
"""


def test_a_download_is_reported_to_the_caller_and_drawn_nowhere(
    hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.add("org/nano", blobs_of(DATA / "nanovl-mixed-sharded-split"))
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, tmp_path / "made", tmp_path / "steps"],
        stdout=follower,
        stderr=follower,
        env={**os.environ, **environment, "TERM": "xterm"},
    ) as process:
        shown = read_all(leader, follower, process)
    assert (process.returncode, shown) == (0, "")
    steps = json.loads((tmp_path / "steps").read_text())
    downloads = [tuple(step) for step in steps if step[0] == "downloading weights"]
    number = downloads[0][2]
    assert number > 17
    assert downloads == [("downloading weights", n, number) for n in range(number + 1)]
