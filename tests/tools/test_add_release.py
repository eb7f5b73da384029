"""Adding a release: one command."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import record_modelopt_lookups

TOOLS = Path(__file__).parents[2] / "tools"


def test_it_starts_without_the_environment_of_the_learner() -> None:
    done = subprocess.run(
        [sys.executable, TOOLS / "add_release.py", "--help"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_questions_of_the_newest_release_are_put_again() -> None:
    path = TOOLS.parent / "tests" / "data" / "conformance" / "modelopt.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        cases = [json.loads(line) for line in file]
    newest = list(record_modelopt_lookups.newest(cases))
    assert {(case["runtime"], case["version"]) for case in newest} == {
        ("vllm", "0.33.0"),
        ("sglang", "0.5.23"),
    }
    older = [c for c in cases if (c["runtime"], c["version"]) == ("vllm", "0.9.0")]
    assert list(record_modelopt_lookups.newest([*newest, *older])) == newest
