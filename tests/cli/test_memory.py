"""Hostile files under a bound of the address space, which docs/security.md states."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import GOOD

LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1)) << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
runpy.run_module("ckptfix", run_name="__main__")
"""
INDEX = "model.safetensors.index.json"


def index_of(entries: int) -> bytes:
    named = {f"layers.{number}.weight": "model.safetensors" for number in range(entries)}
    return json.dumps({"weight_map": named}).encode()


def check(folder: Path, megabytes: int, name: str, data: bytes) -> subprocess.CompletedProcess[str]:
    for file, good in {**GOOD, name: data}.items():
        (folder / file).write_bytes(good)
    command = [sys.executable, "-c", LIMITED, str(megabytes), "check", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "data", "code", "message"),
    [
        ("config.json", b'{"a":' * 4_000_000, 2, "nested too deeply"),
        ("config.json", b'{"a":' + b"9" * 20_000_000 + b"}", 2, "too many digits"),
        (INDEX, b'{"weight_map":{"a":[' + b"0," * 5_000_000 + b"0]}}", 2, "4,000,000 values"),
        (INDEX, index_of(50_000), 1, "50,021 errors"),
        ("model.safetensors", struct.pack("<Q", 2**63) + b"{", 2, "header"),
    ],
    ids=["nesting", "digits", "values", "index", "header"],
)
def test_a_hostile_file_is_reported_within_one_gigabyte(
    tmp_path: Path, name: str, data: bytes, code: int, message: str
) -> None:
    done = check(tmp_path, 1_024, name, data)
    assert done.returncode == code, done.stderr[-1_000:]
    assert message in done.stdout + done.stderr


def test_too_little_memory_is_one_sentence(tmp_path: Path) -> None:
    done = check(tmp_path, 160, INDEX, index_of(500_000))
    assert done.returncode == 2
    assert done.stderr == "error: out of memory\n"
