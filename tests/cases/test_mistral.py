"""Checkpoints in Mistral's own format, judged by the real vLLM (`tools/mistral_cases`)."""

import gzip
import json
import shutil
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


@pytest.mark.parametrize("file", ["consolidated.safetensors", "consolidated-00001.safetensors"])
def test_a_shard_file_in_a_folder_of_the_checkpoint(file: str, tmp_path: Path) -> None:
    """vLLM 0.33.0: `RuntimeError: Cannot find any model weights`; SGLang looks at no folders."""
    plain = shutil.copytree(DATA / "llama-nvfp4-tied", tmp_path / "plain")
    assert {each.answer for each in ask(plain).values()} == {"yes"}
    (plain / "original" / "more").mkdir(parents=True)
    shutil.copy(plain / "model.safetensors", plain / "original" / "more" / file)
    vllm, sglang = ask(plain).values()
    assert (vllm.answer, sglang.answer) == ("no", "yes")
    assert f"there is original/more/{file}" in vllm.reasons[0]


def test_a_shard_file_in_a_folder_does_not_count_beside_one_here(tmp_path: Path) -> None:
    case = next(case for case in CASES.values() if case["runtimes"][RELEASE]["loads"])
    directory = write(case, tmp_path / "here")
    before = ask(directory, (RELEASE,))
    (directory / "original").mkdir()
    [shard, *_] = directory.glob("consolidated*.safetensors")
    shutil.copy(shard, directory / "original")
    assert ask(directory, (RELEASE,)) == before
