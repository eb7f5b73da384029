"""The loop of `make truth`, without the oracle: cases as files, mutators, the smallest case."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from truth_loop import break_config, shrunk
from truth_loop.answers import Answered, ask_as_judged
from truth_loop.case import Case, tensors_in
from truth_loop.comparison import Comparison
from truth_loop.excuses import is_excused
from truth_loop.judges import EXPORTS
from truth_loop.mutators import cases
from truth_loop.repairs import announced, by_itself, untouched, with_modules
from truth_loop.smallest import changes, smallest
from truth_loop.stricter import Judged, stricter

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


def test_a_shard_file_that_is_not_edited_is_not_copied(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / NAME, tmp_path / NAME)
    directory = Case.of_line(line()).write(tmp_path, tmp_path / "c")
    for path in directory.glob("*.safetensors"):
        assert path.samefile(tmp_path / NAME / path.name)
    Case.of_line(line(tensors={NORM: None})).write(tmp_path, tmp_path / "edited")
    assert tensors_in(tmp_path / NAME) == tensors_in(FIXTURES / NAME)


def test_only_values_of_config_json_are_broken() -> None:
    mutators = break_config.MUTATORS
    for case in cases(3, FIXTURES, number=30, mutators=mutators, prefix="config"):
        found = changes(case, FIXTURES)
        assert 1 <= len({name.split("/")[1] for name in found}) <= len(case.how)
        assert all(name.startswith("config.json ") for name in found)


def test_metadata_of_a_small_release_name_what_is_left_of_it() -> None:
    names = ["model.layers.3.mlp", "model.layers.4.mlp", "model.layers.61.mlp", "lm_head"]
    bank = {f"model.layers.1.mlp.experts.{n}.up_proj": {"quant_algo": "NVFP4"} for n in (7, 8)}
    small = shrunk.shrink_metadata({"ignore": names, "quantized_layers": bank}, 61)
    assert small["ignore"] == ["model.layers.3.mlp", "model.layers.4.mlp", "lm_head"]
    assert list(small["quantized_layers"]) == ["model.layers.1.mlp.experts.7.up_proj"]


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
FOUR_BITS = json.dumps(
    {
        "quantization_config": {
            "quant_algo": "FP8",
            "kv_cache_quant_algo": "NVFP4",
            "kv_cache_scheme": {"type": "float", "num_bits": 4},
        }
    }
)
FP8_CACHE = json.dumps({"quantization_config": {"kv_cache_quant_algo": "FP8"}})


@pytest.mark.parametrize(
    ("release", "config", "why", "stored", "excused"),
    [
        ("sglang==0.5.23", "{}", LOST, SCALES, True),
        ("vllm==0.33.0", "{}", LOST, SCALES, False),
        ("sglang==0.5.23", FP8_CACHE, LOST, SCALES, False),
        ("sglang==0.5.23", FOUR_BITS, LOST, SCALES, True),
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


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="the exports lie in ../shared")
def test_a_repair_that_is_announced_is_carried_out() -> None:
    name = "syn-ct-llama-compression-config"
    cases_ = [case for case in untouched(EXPORTS) if case.origin == name]
    made = announced(cases_, processes=1)
    assert [repair.release for repair in made] == ["vllm==0.33.0", "sglang==0.5.23"]
    for repair in made:
        config = json.loads(repair.case.config or "")
        assert config["quantization_config"]["quant_method"] == "compressed-tensors"
        assert repair.case.id.startswith(f"exports-{name}-repaired-")
        assert repair.quantized["model.layers.0.mlp.down_proj"]
        assert not repair.quantized["lm_head"]
        assert not repair.loaded_before


OTHER = "other quant method: 8, ('m', [None, None], [None, None])"


@pytest.mark.parametrize(
    ("did", "built", "loads"),
    [
        (Judged(True, ()), "QuarkLinearMethod", True),
        (Judged(True, ()), "UnquantizedLinearMethod", False),
        (Judged(False, ("unused: 1, x",)), "QuarkLinearMethod", False),
        (Judged(False, (OTHER,)), "QuarkLinearMethod", False),
        (Judged(False, (OTHER,)), "ModelOptLinearMethod", True),
        (Judged(None, ("build: ValueError: the untouched one fails as well",)), "Quark", True),
        (Judged(None, ("build: No module named 'x'",)), "QuarkLinearMethod", None),
    ],
)
def test_a_repair_is_kept_where_each_module_is_built_as_it_is_stored(
    did: Judged, built: str, loads: bool | None
) -> None:
    found = with_modules(did, {"m": "QuarkLinearMethod"}, {"m": built}, {"m": True})
    assert found.loads is loads


@pytest.mark.parametrize(
    ("did", "unwritten", "loads"),
    [
        (Judged(None, ()), ["model.layers.0.mlp.experts.w13_weight"], False),
        (Judged(None, ()), [], None),
        (Judged(None, ("build: No module named 'x'",)), ["model.norm.weight"], None),
        (Judged(True, ()), ["lm_head.weight"], True),
    ],
)
def test_a_repair_that_leaves_weights_unwritten_as_its_export_did_does_not_load(
    did: Judged, unwritten: list[str], loads: bool | None
) -> None:
    """qk-qwen3moe-fp8-mixed on SGLang: four of its repairs were recorded as a yes."""
    assert by_itself(did, unwritten).loads is loads


def test_two_classes_for_the_same_tensors_are_no_difference() -> None:
    modules = {"m": ["AutoAWQLinearMethod", None, None]}
    before = {"never": [], "partial": {}, "bcast": [], "unused": [], "mods": modules}
    after = before | {"mods": {"m": ["AutoAWQMarlinLinearMethod", None, None]}}
    assert stricter(Judged(False, (OTHER,)), before, after).loads
    other = before | {"mods": {"m": ["UnquantizedLinearMethod", None, None]}}
    assert stricter(Judged(False, (OTHER,)), before, other).loads is False


PLACEHOLDER = "model.layers.0.self_attn.attn.k_zero_point"
LACKING = "model.layers.0.mlp.down_proj.weight"


@pytest.mark.parametrize(
    ("never", "unused", "loads"),
    [
        ([PLACEHOLDER, "model.layers.0.self_attn.attn.k_scale"], [], True),
        ([PLACEHOLDER, LACKING], [], None),
        ([PLACEHOLDER], ["model.norm.bias"], None),
        ([PLACEHOLDER, "model.norm.weight"], [], False),
    ],
)
def test_placeholders_of_a_cache_are_not_missed(
    never: list[str], unused: list[str], loads: bool | None
) -> None:
    """The untouched fixture builds nothing quantized, so that it has none of them."""
    before = {"never": [LACKING], "partial": {}, "bcast": [], "unused": ["model.norm.bias"]}
    after = before | {"never": never, "unused": unused}
    why = (f"never: {len(never)}, {never[-1]}",)
    assert stricter(Judged(loads=False, why=why), before, after).loads is loads


def test_codes_that_are_cast_are_lost() -> None:
    before = {"never": [], "partial": {}, "bcast": [], "cast": [["s", "bfloat16", "float32"]]}
    for cast in (
        ["w", "int8", "float8_e4m3fn"],
        ["w", "float8_e5m2", "float8_e4m3fn"],
        ["m.weight_scale", "bfloat16", "float8_e4m3fn"],
    ):
        after = before | {"cast": [cast]}
        assert stricter(Judged(True, ()), before, before).loads
        assert stricter(Judged(True, ()), before, after).loads is False


@pytest.mark.parametrize(
    ("cast", "loads"),
    [
        (["model.A", "bfloat16", "float32"], True),
        (["model.A", "float16", "float32"], False),
        (["m.weight_scale_2", "float64", "float32"], True),
        (["m.weight_scale", "bfloat16", "float8_e4m3fn"], False),
        (["model.w", "float8_e4m3fn", "bfloat16"], False),
    ],
)
def test_a_renamed_tensor_may_be_cast_as_before(cast: list[str], loads: bool) -> None:
    codes = ["w", "float8_e4m3fn", "bfloat16"]
    before = {
        "never": [],
        "partial": {},
        "bcast": [],
        "unused": [],
        "cast": [["A_log", "bfloat16", "float32"], codes],
    }
    after = before | {"cast": [cast]}
    assert stricter(Judged(False, (f"cast: 1, {cast}",)), before, after).loads is loads


@pytest.mark.parametrize(
    ("why", "loads", "agrees"),
    [
        ("fills it up with zeros: o_proj is 64 x 32", True, True),
        ("stops: o_proj is 64 x 32", True, False),
        ("fills it up with zeros: o_proj is 64 x 32", False, True),
    ],
)
def test_zeros_are_not_seen_by_the_judge(why: str, loads: bool, agrees: bool) -> None:
    case = Case("own-0", "llama-fp8", ("shape",), None, None)
    found = Comparison(case, "sglang==0.5.23", Judged(loads, ()), Answered("no", (why,)))
    assert found.agrees is agrees
    assert found.as_line()["loads"] is (None if loads and agrees else loads)


def test_asking_leaves_the_checkpoint_as_it_is(tmp_path: Path) -> None:
    """SGLang is given other kinds of layers than nanovl-mixed has: in a copy."""
    directory = tmp_path / NAME
    shutil.copytree(FIXTURES / NAME, directory)
    before = (directory / "config.json").read_bytes()
    assert b"linear_attention" in before
    assert not any("block_type" in r for r in ask_as_judged(directory)["sglang==0.5.23"].reasons)
    assert (directory / "config.json").read_bytes() == before


def test_a_draft_that_a_class_leaves_to_its_draft_is_not_lost() -> None:
    """Seed 7001: a stray `mtp.` tensor in a Nemotron-H that loads whole."""
    case = Case("own-7001-0036", "nemotronh-remote-moe-super", (), "{}", None)
    stored = ("backbone.embeddings.weight", "mtp.layers.0.eh_proj.weight")
    release = "vllm==0.33.0"
    assert is_excused(case, release, ["unused: 1, mtp.layers.0.eh_proj.weight"], stored)
    assert not is_excused(case, release, ["unused: 2, mtp.layers.0.eh_proj.weight"], stored)
    assert not is_excused(case, release, ["unused: 1, backbone.embeddings.weight"], stored)


def test_what_a_judge_of_single_tensors_cannot_see_is_left_open() -> None:
    """Seed 6903: a head that is written over the embeddings, by a class that ties them."""
    why = (
        "does not load lm_head: tie_word_embeddings is true, so it uses the embeddings for the head"
    )
    case = Case("own-6903-0007", "qwen2-5-vl", (), "{}", None)
    told = Answered("no", (why,))
    assert Comparison(case, "sglang==0.5.23", Judged(True, ()), told).loads is None
    assert Comparison(case, "sglang==0.5.23", Judged(False, ("unused",)), told).loads is False
    assert Comparison(case, "vllm==0.33.0", Judged(True, ()), told).loads is True
