"""A bar on a terminal, and nothing of it in the report."""

import os
import pty
import subprocess
import sys

from tests.conftest import DATA
from tests.hub.repositories import blobs_of
from tests.hub.state import Fault, Hub


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
        os.close(follower)
        shown = b"".join(iter(lambda: _read(leader), b"")).decode()
        assert process.stdout is not None
        stdout = process.stdout.read()
    os.close(leader)
    assert process.returncode == 0
    assert "org/nano: reading headers" in shown
    assert "16/17" in shown
    assert stdout.startswith("checkpoint    org/nano\n")
    assert "\x1b" not in stdout


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the other side is closed
        return b""
