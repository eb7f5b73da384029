"""Values of quant_method that a release does not know, or no longer takes.

`tests/data/quant_methods.jsonl`: the quantization object of an FP8 Llama with each method, and what
vllm 0.33.0 and sglang 0.5.23 said where they refused the method itself; empty where they did not.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.builders import whole_llama, write_checkpoint
from tests.conftest import DATA
from tests.replay import ask
from truth_loop.answers import checked

WORDS: Final = {
    "Unknown quantization method": "is not a supported method",
    "deprecated and will be removed": "--allow-deprecated-quantization",
    "OnlineQuantizationConfig does not support loading": "quantizes unquantized checkpoints",
}
"""What the runtime says -> what the reason has."""
CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "quant_methods.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: case["quantization_config"]["quant_method"]
)
def test_a_method_that_a_release_refuses_is_a_no_and_no_other_is_a_yes(
    case: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "m", whole_llama(), case["quantization_config"])
    for release, answered in ask(folder, tuple(case["stops"])).items():
        said, reasons = case["stops"][release], " ".join(answered.reasons)
        if said:
            assert answered.answer == "no"
            assert WORDS[said] in reasons
        else:
            assert answered.answer != "yes"
            assert not any(words in reasons for words in WORDS.values())


OLDER = [
    ("experts_int8", {"vllm==0.15.0": "no", "vllm==0.20.0": "unknown"}),  # deprecated, then not
    ("ptpc_fp8", {"vllm==0.15.0": "no", "vllm==0.33.0": "no"}),  # deprecated, then gone
    ("petit_nvfp4", {"sglang==0.5.8": "unknown", "sglang==0.5.23": "unknown"}),
    ("qoq", {"sglang==0.5.10": "unknown", "sglang==0.5.23": "no"}),
    ("qoq", {"sglang==0.5.16": "unknown"}),  # it went between two releases that were read
    ("hqq", {"vllm==0.25.0": "no", "sglang==0.5.16": "no"}),
]


@pytest.mark.parametrize(("method", "expected"), OLDER)
def test_an_older_release_is_answered_by_what_it_registers(
    method: str, expected: dict[str, str], tmp_path: Path
) -> None:
    quantization = {"quant_method": method, "bits": 4}
    folder = write_checkpoint(tmp_path / "m", whole_llama(), quantization)
    got = ask(folder, tuple(expected))
    assert {release: answered.answer for release, answered in got.items()} == expected


def test_a_quantizer_that_nobody_reads_has_a_report_without_guesses(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", whole_llama(), {"quant_method": "hqq"})
    report, errors = checked(folder, ("vllm==0.33.0",))
    assert not errors
    assert report["error"] is None
    assert {finding["code"] for finding in report["findings"]} == {"CKF702"}
