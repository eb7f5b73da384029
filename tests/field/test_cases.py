"""What people met in the field: each case is found, or it is said why it cannot be."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ckptfix.operations.examine import examine
from ckptfix.operations.loading import load
from ckptfix.rules.registry import RULES
from ckptfix.runtimes.releases import requested_targets
from tests.conftest import SHARED
from tests.field.mechanisms import PAIRS
from tests.field.pairs import Draft

CASES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "cases.toml").read_text(encoding="utf-8")
)["case"]
SHOWN = [case for case in CASES if "shown_by" in case]
FIELD = SHARED / "facts" / "field-cases.json"
RELEASES = ["vllm==0.17.1", "vllm==0.33.0"]
STATIC = {"EXPERTS", "EXPORT", "FILES", "FUSED", "INDEX", "LMHEAD", "MATCHER", "MIXED", "MTP"} | {
    "PREFIX",
    "SCALES",
    "TOWER",
}
"""Classes that field-failures.md calls statically detectable; KV has its own test below."""


def codes_found(draft: Draft, directory: Path) -> set[str]:
    checkpoint = load(str(draft.write(directory)))
    examined = examine(checkpoint, None, requested_targets(RELEASES))
    return {finding.code for finding in examined.findings}


@pytest.mark.parametrize("mechanism", sorted({case["shown_by"] for case in SHOWN}))
def test_the_broken_checkpoint_is_reported_and_the_healthy_one_is_clean(
    mechanism: str, tmp_path: Path
) -> None:
    healthy, broken = PAIRS[mechanism]()
    wanted = {code for case in SHOWN if case["shown_by"] == mechanism for code in case["codes"]}
    assert wanted
    assert wanted <= codes_found(broken, tmp_path / "broken")
    # Some show in a Llama what was met in another family: no release builds such modules for it.
    assert codes_found(healthy, tmp_path / "healthy") <= {"CKF703"}


def test_every_case_has_an_outcome() -> None:
    for case in CASES:
        key = {"detected": "shown_by", "out of reach": "why", "runtime bug": "said"}
        assert case[key[case["status"]]], case["id"]
        assert set(case.get("codes", ())) <= RULES.keys()
    assert {case["shown_by"] for case in SHOWN} <= PAIRS.keys()


def test_every_class_that_can_be_seen_in_files_is_detected() -> None:
    assert {case["class"] for case in CASES if case["status"] == "detected"} >= STATIC


@pytest.mark.parametrize("mechanism", ["kv_scales_of_projections", "kv_scales_unsaid"])
def test_faults_of_kv_scales_are_reported(mechanism: str, tmp_path: Path) -> None:
    """The two KV cases are the runtime's; faults of the scales are reported."""
    healthy, broken = PAIRS[mechanism]()
    assert codes_found(broken, tmp_path / "broken") & {"CKF402", "CKF403"}
    assert codes_found(healthy, tmp_path / "healthy") == set()


@pytest.mark.skipif(not FIELD.exists(), reason="../shared is not here")
def test_every_case_of_the_field_is_there() -> None:
    known = {case["id"]: case["thread"] for case in json.loads(FIELD.read_text(encoding="utf-8"))}
    assert {case["id"]: case["thread"] for case in CASES} == known
