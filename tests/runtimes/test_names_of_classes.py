"""`architectures` that holds something else than names, and a folder without config.json.

The real loaders of vLLM 0.33.0 and SGLang 0.5.23 did with each what is expected here.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.check import check
from ckptfix.operations.checked import ReleaseAnswer
from ckptfix.runtimes.loads import Answer
from tests.conftest import Call, CopyOf

NEWEST = ("vllm==0.33.0", "sglang==0.5.23")
LLAMA = "LlamaForCausalLM"


def answers(directory: Path) -> tuple[ReleaseAnswer, ...]:
    return check(directory, runtimes=NEWEST).runtimes


@pytest.mark.parametrize(
    ("given", "vllm", "sglang"),
    [
        (5, Answer.NO, Answer.NO),
        (LLAMA, Answer.NO, Answer.NO),
        ([5], Answer.NO, Answer.NO),
        ([LLAMA, 5], Answer.NO, Answer.YES),
        ([LLAMA, LLAMA], Answer.YES, Answer.YES),
        ([], Answer.YES, Answer.NO),
        (None, Answer.YES, Answer.NO),
    ],
)
def test_what_architectures_may_hold(
    given: Any, vllm: Answer, sglang: Answer, copy_of: CopyOf
) -> None:
    directory = copy_of("llama-fp8-kv8")
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": given}))
    assert [release.loads for release in answers(directory)] == [vllm, sglang]


def test_nothing_loads_without_config_json(copy_of: CopyOf, call: Call) -> None:
    directory = copy_of("llama-fp8-kv8")
    (directory / "config.json").unlink()
    assert [release.loads for release in answers(directory)] == [Answer.NO, Answer.NO]
    done = call("check", str(directory), "--allow-unknown")
    assert done.returncode == 1
    assert "there is no config.json" in done.stdout
    assert "fix: copy config.json from where" in done.stdout
