"""Checkpoints in Mistral's own format, judged by the real vLLM (`tools/mistral_cases`)."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases.packed import write
from tests.conftest import DATA
from tests.replay import ask, complaint

CASES: dict[str, dict[str, Any]] = {
    case["slug"]: case
    for case in map(
        json.loads, gzip.decompress((DATA / "mistral.jsonl.gz").read_bytes()).decode().splitlines()
    )
}
RELEASE = "vllm==0.33.0"
MOVED = {"dense-nvfp4", "dense-fp8-channels"}
"""All their tensors are taken, so that the judge, which looks at no values, says yes. Loaded with
the number of each row as its values, vLLM 0.33.0 has the rows of `weight` and `qscale_weight` of wq
in the order 0, 2, 4, ..., 1, 3, ... of each head, and those of `weight_packed` and `weight_scale`
in the stored one."""


@pytest.mark.parametrize("slug", sorted(CASES))
def test_the_release_is_answered_for_as_it_behaves(slug: str, tmp_path: Path) -> None:
    case = CASES[slug]
    judged = case["runtimes"][RELEASE]
    got = ask(write(case, tmp_path / slug), (RELEASE,))[RELEASE]
    if slug in MOVED:
        assert (judged["loads"], got.answer) == (True, "no")
        assert "moves the rows of each head" in got.reasons[0]
        return
    why = " | ".join(judged["why"])[:300]
    assert judged["loads"] is not None
    assert not (
        said := complaint(RELEASE, slug, case["did"], loads=judged["loads"], why=why, got=got)
    ), said
