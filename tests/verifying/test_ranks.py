"""Two processes of torchrun on a CPU, over gloo."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DATA, Call

FIXTURE = DATA / "qwen3vlmoe-nvfp4"


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, "--nproc-per-node", "2", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def without_time(report: dict[str, Any]) -> dict[str, Any]:
    report.pop("seconds")
    for gemm in report["gemms"]:
        gemm.pop("seconds")
        gemm["error"] = pytest.approx(gemm["error"], rel=1e-3)
    return report


def test_two_ranks_give_the_report_of_one(call: Call) -> None:
    options = ("verify", FIXTURE, "--device", "cpu", "--all", "--json")
    alone = json.loads(call(*options).stdout)
    done = torchrun("-m", "ckptfix", *options)
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout)
    assert (alone.pop("ranks"), together.pop("ranks")) == (1, 2)
    assert without_time(together) == without_time(alone)


def test_a_rank_that_dies_ends_the_run_with_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, signal, sys\n"
        "from ckptfix.verifying import run\n"
        "if os.environ['RANK'] == '1':\n"
        "    run.run_layer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from ckptfix.__main__ import main\n"
        f"sys.argv = ['ckptfix', 'verify', {str(FIXTURE)!r}, '--device', 'cpu', '--all']\n"
        "main()\n"
    )
    done = torchrun(script)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "error: another rank ended before it had reported; see what it said" in done.stderr
