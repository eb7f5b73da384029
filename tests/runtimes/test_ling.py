"""Ling 2.0: the classes of vLLM 0.33.0 and SGLang 0.5.23 did the same with each of these."""

from pathlib import Path

import pytest

import ckptfix
from ckptfix.runtimes.loads import Answer
from tests.ling import ling

RELEASES = ("vllm==0.33.0", "sglang==0.5.23")


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({}, ("yes", "yes")),
        ({"num_shared_experts": 2}, ("no", "yes")),
        ({"n_group": None}, ("yes", "no")),
        ({"moe_intermediate_size": None}, ("no", "no")),
        ({"partial_rotary_factor": None}, ("yes", "no")),
        ({"num_hidden_layers": 4}, ("no", "no")),
        # The rows of a learned class do not say which layers have experts.
        ({"first_k_dense_replace": 2}, ("unknown", "unknown")),
        ({"first_k_dense_replace": 0}, ("unknown", "unknown")),
        # What its class, which is code of the checkpoint, has by default is not known.
        ({"n_group": ...}, ("yes", "unknown")),
        ({"num_experts": ...}, ("unknown", "unknown")),
    ],
    ids=str,
)
def test_it_is_answered_as_its_classes_do(
    changes: dict[str, object], answers: tuple[str, str], tmp_path: Path
) -> None:
    report = ckptfix.check(ling(tmp_path / "ling", **changes), runtimes=RELEASES)
    assert [one.loads for one in report.runtimes] == [Answer(answer) for answer in answers]
