"""The loop of `make truth`, without the oracle: cases as files, mutators, the smallest case."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from truth_loop.case import Case, tensors_in
from truth_loop.excuses import is_excused
from truth_loop.judges import Judged, stricter
from truth_loop.mutators import cases
from truth_loop.smallest import changes, smallest

NAME = "nanovl-mixed-sharded-split"
NORM = "language_model.backbone.norm_f.weight"


def line(**more: object) -> dict[str, object]:
    source = FIXTURES / NAME
    texts = [(source / file).read_text() for file in ("config.json", "hf_quant_config.json")]
    return {"id": "c", "from": NAME, "how": [], "config": texts[0], "hf_quant": texts[1], **more}


def test_a_case_is_written_with_its_tensors_changed(tmp_path: Path) -> None:
    edits = {
        NORM: None,
        "moved.weight": ["BF16", [64], NORM],
        "added.weight": ["F32", [2, 3], None],
    }
    case = Case.of_line(line(tensors=edits, files={"params.json": "{}"}))
    directory = case.write(FIXTURES, tmp_path / "c")
    before, after = tensors_in(FIXTURES / NAME), tensors_in(directory)
    assert before.keys() - after.keys() == {NORM}
    assert after["moved.weight"] == before[NORM]
    assert after["added.weight"] == ("F32", (2, 3))
    index = json.loads((directory / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == after.keys()
    assert (directory / "params.json").read_text() == "{}"
    assert Case.of_line(json.loads(json.dumps(case.as_line()))) == case


def test_the_same_seed_breaks_the_same_way() -> None:
    first = [case.as_line() for case in cases(7, FIXTURES, number=12)]
    assert [case.as_line() for case in cases(7, FIXTURES, number=12)] == first
    assert [case.as_line() for case in cases(8, FIXTURES, number=12)] != first
    for made in map(Case.of_line, first):
        assert changes(made, FIXTURES) or "shuffle" in str(made.how)


def test_the_smallest_case_keeps_what_the_disagreement_needs() -> None:
    config = json.loads((FIXTURES / NAME / "config.json").read_text())
    config["llm_config"] |= {"vocab_size": 99, "num_hidden_layers": 7, "hidden_size": 8}
    broken = line(config=json.dumps(config), tensors={NORM: None})

    def disagree(tried: Sequence[Case]) -> list[bool]:
        return [NORM in c.tensors and '"vocab_size": 99' in (c.config or "") for c in tried]

    least = smallest(Case.of_line(broken), disagree, fixtures=FIXTURES)
    assert changes(least, FIXTURES) == {
        "config.json /llm_config/vocab_size": 99,
        NORM: None,
    }


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({}, ()),
        ({"never": ["a.k_scale"]}, ()),
        ({"never": ["a.norm"]}, ("never: 1, a.norm",)),
        ({"partial": {"bank": [4, 16]}}, ()),
        ({"partial": {"bank": [3, 16]}}, ("partly written: 1, bank",)),
        ({"partial": {"bank": [4, 16], "qkv": [2, 3]}}, ("partly written: 1, qkv",)),
        ({"bcast": ["b"]}, ("broadcast: 1, b",)),
    ],
)
def test_less_written_than_with_the_untouched_fixture_is_a_failure(
    after: dict[str, object], why: tuple[str, ...]
) -> None:
    before = {"never": ["a.v_scale"], "partial": {"bank": [4, 16]}, "bcast": []}
    judged = stricter(Judged(loads=True, why=()), before, before | after)
    assert judged == Judged(loads=not why, why=why)


LOST = ("unused: 2, model.layers.0.self_attn.k_proj.k_scale",)
SCALES = [f"model.layers.0.self_attn.{part}_proj.{part}_scale" for part in "kv"]
FP8_CACHE = json.dumps({"quantization_config": {"kv_cache_quant_algo": "FP8"}})


@pytest.mark.parametrize(
    ("release", "config", "why", "stored", "excused"),
    [
        ("sglang==0.5.23", "{}", LOST, SCALES, True),
        ("vllm==0.33.0", "{}", LOST, SCALES, False),
        ("sglang==0.5.23", FP8_CACHE, LOST, SCALES, False),
        ("sglang==0.5.23", "{}", LOST, SCALES[:1], False),
        ("sglang==0.5.23", "{}", ("unused: 2, model.norm.weight",), SCALES, False),
        ("sglang==0.5.23", "{}", (*LOST, "never: 1, model.norm.weight"), SCALES, False),
    ],
)
def test_scales_of_a_cache_that_nothing_announces_may_be_left_out(
    release: str, config: str, why: tuple[str, ...], stored: list[str], excused: bool
) -> None:
    case = Case("c", NAME, (), config, None)
    assert is_excused(case, release, why, stored) is excused
