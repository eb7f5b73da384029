"""Every finding in every fixture is expected and explained; the healthy ones have none."""

import tomllib
from collections import Counter
from typing import Any

import pytest

from ckptfix.operations.examine import examine
from ckptfix.operations.loading import load
from ckptfix.runtimes.releases import requested_targets
from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES

NEWEST = "vllm==0.33.0"
TABLE: list[dict[str, Any]] = tomllib.loads(
    (DATA / "fixture_findings.toml").read_text(encoding="utf-8")
)["finding"]


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_the_findings_are_those_of_the_table(name: str) -> None:
    checkpoint = load(str(FIXTURES / name))
    examined = examine(checkpoint, None, requested_targets([NEWEST]))
    found = Counter((f.code, f.rule.severity.value) for f in examined.findings)
    rows = [row for row in TABLE if row["fixture"] == name]
    assert found == {(row["code"], row["severity"]): row["count"] for row in rows}


def test_every_line_is_explained_and_occurs_once() -> None:
    assert all(len(row["explained"]) > 20 for row in TABLE)
    places = [(row["fixture"], row["code"]) for row in TABLE]
    assert len(set(places)) == len(places)


@pytest.mark.skipif(FIXTURES == DATA, reason="../shared is not here")
def test_every_line_is_about_a_fixture() -> None:
    assert {row["fixture"] for row in TABLE} <= set(FIXTURE_NAMES)
