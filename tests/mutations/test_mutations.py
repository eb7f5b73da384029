"""Every way to break a healthy checkpoint is reported, and repaired where that is claimed.

The default run takes a few fixtures; `make mutations` takes all of them, with several choices of
what is broken, and prints the kill rate kind by kind.
"""

import os
import tomllib
from pathlib import Path

import pytest

from tests.conftest import DATA, FIXTURE_NAMES, FIXTURES
from tests.mutations.kind import KINDS
from tests.mutations.running import HARMLESS, REPORTED, Outcome, outcomes, table

SEEDS = int(os.environ.get("MUTATION_SEEDS", "0"))
_UNHEALTHY = {
    row["fixture"]
    for row in tomllib.loads((DATA / "fixture_findings.toml").read_text("utf-8"))["finding"]
}
HEALTHY = [name for name in FIXTURE_NAMES if name not in _UNHEALTHY]
FEW = [
    name
    for name in ("llama-fp8-kv8", "nanovl-mixed-sharded-split", "qwen3moe-nvfp4")
    if name in FIXTURE_NAMES
]

collected: list[Outcome] = []


@pytest.mark.parametrize("name", HEALTHY if SEEDS else FEW)
def test_what_is_broken_is_reported_and_repaired(name: str, tmp_path: Path) -> None:
    found = [
        outcome
        for seed in range(SEEDS or 1)
        for outcome in outcomes(FIXTURES / name, tmp_path / str(seed), seed)
    ]
    collected.extend(found)
    assert [o for o in found if o.fate not in (REPORTED, HARMLESS)] == []
    assert sum(o.fate == REPORTED for o in found) > len(found) // 2


@pytest.mark.skipif(not SEEDS, reason="make mutations")
def test_every_kind_was_tried_and_the_kill_rate_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with capsys.disabled():
        print(f"\n{table(collected)}")  # noqa: T201 - what make mutations is for
    assert {outcome.kind for outcome in collected if outcome.fate == REPORTED} == KINDS.keys()
