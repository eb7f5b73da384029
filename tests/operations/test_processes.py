"""Many checkpoints of this machine in several processes: reported as in one."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from ckptfix.operations.processes import processes_for
from tests.conftest import DATA, Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Twelve checkpoints, clean, with findings, with patterns, unreadable and absent."""
    monkeypatch.chdir(tmp_path)
    names = []
    for number in range(4):
        for name in ("nanovl-mixed", "llama-nvfp4-tied"):
            shutil.copytree(DATA / name, tmp_path / f"{name}-{number}")
            names.append(f"{name}-{number}")
        names.append(f"absent-{number}")
    for number in range(3):
        (tmp_path / f"nanovl-mixed-{number}" / "model.safetensors").write_bytes(b"\x80\x04 no")
    return names


@pytest.mark.parametrize(
    "options",
    [[], ["--json"], ["--format", "jsonl"], ["--format", "sarif"], ["--runtime", "vllm==0.17.1"]],
    ids=lambda options: " ".join(options) or "text",
)
def test_several_processes_report_what_one_reports(
    many: list[str], run: Run, options: list[str]
) -> None:
    alone, shared = (run("check", *many, "--jobs", jobs, *options) for jobs in ("1", "3"))
    assert (shared.returncode, shared.stdout) == (alone.returncode, alone.stdout)
    assert shared.stderr == alone.stderr
    assert alone.returncode == 2
    if "jsonl" in options:
        lines = map(json.loads, shared.stdout.splitlines())
        assert [line["checkpoints"][0]["checkpoint"] for line in lines] == many


def test_processes_are_started_where_they_save_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert [processes_for(number, 4) for number in (1, 3, 8, 12, 400)] == [1, 1, 2, 3, 4]
    assert processes_for(400, 1) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert processes_for(400, 64) == 1
