"""The index of exclude patterns gives what a scan of all of them would, and stays quick."""

import re
from fnmatch import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfix.runtimes.common.bound import BoundMetadata
from ckptfix.runtimes.common.patterns import Pattern, PatternTable
from ckptfix.runtimes.profile import ArchitectureProfile, ConfigMapper, RuntimeProfile
from ckptfix.runtimes.registry import runtime_named
from ckptfix.runtimes.sglang.regexes import RegexTable

PARTS = st.sampled_from(
    ["a", "b", "experts", "q_a_proj", "fused_q_a_proj", "language_model", "0", "10", ""]
)
NAMES = st.lists(st.one_of(PARTS, st.just("a\nb")), min_size=1, max_size=4).map(".".join)
TEXTS = st.one_of(
    NAMES,
    st.lists(
        st.one_of(
            PARTS,
            st.sampled_from(
                ["*", "a*", "*0", "?", "[ab]", "[ab]*", "a+", "b$", "a|b", "(a)", "a\n*"]
            ),
        )
    ).map(".".join),
)


def table_of(texts: list[str]) -> PatternTable:
    return PatternTable(tuple(Pattern(text, f"{at} {text}") for at, text in enumerate(texts)))


def bound(
    release: str,
    excludes: list[str],
    entries: dict[str, str] | None = None,
    algo: str = "MIXED_PRECISION",
) -> BoundMetadata:
    runtime, version = release.split()
    model = ArchitectureProfile("M", "M", "m.py", ConfigMapper(prefix=(("hf.", "model."),)))
    profile = RuntimeProfile(runtime, version, "test", {"M": model})
    return runtime_named(runtime).bind(profile, ["M"], entries or {}, excludes, quant_algo=algo)


@given(st.lists(TEXTS, max_size=8), NAMES)
def test_the_index_finds_the_first_pattern_that_a_scan_finds(texts: list[str], name: str) -> None:
    table = table_of(texts)
    experts = [text for text in texts if "experts" in text]
    for found, hits in (
        (table.equal_to(name), [text for text in texts if text == name]),
        (table.inside(name), [text for text in texts if text in name]),
        (table.inside_but_shorter(name), [text for text in texts if text in name and text != name]),
        (table.glob_for(name), [text for text in texts if fnmatch(name, text)]),
        (table.expert_below(name), [text for text in experts if name in text]),
    ):
        assert (found.text if found else None) == next(iter(hits), None)


@given(st.lists(TEXTS, max_size=8), NAMES, st.booleans())
def test_dotted_parts_in_a_row_are_found_as_a_scan_finds_them(
    texts: list[str], name: str, ignore: bool
) -> None:
    def parts(text: str) -> list[str]:
        return (text.rstrip(".") if ignore else text).split(".")

    whole = parts(name)
    ends = range(1, len(whole) + 1)
    rows = [whole[start:end] for end in ends for start in range(end)]
    found = table_of(texts).in_whole_parts(name, ignore_last_dots=ignore)
    expected = next((text for text in texts if parts(text) in rows), None)
    assert (found.text if found else None) == expected


@given(st.lists(TEXTS.filter(lambda text: "?" not in text), max_size=8), NAMES)
def test_joined_expressions_match_as_each_of_them_does(texts: list[str], name: str) -> None:
    pieces = {name, name.removeprefix("language_model."), *name.split(".")}
    fused = name.rpartition(".")[2]

    def hits(text: str) -> bool:
        expression = text.replace(".", r"\.").replace("*", ".*")
        tail = text.rpartition(".")[2]
        in_tail = tail == "q_a_proj" and tail in fused
        return in_tail or any(re.fullmatch(expression, piece) for piece in pieces)

    expected = next((text for text in texts if hits(text)), None)
    found = RegexTable(table_of(texts)).find(name)
    assert (found.pattern.text if found else None) == expected


@pytest.mark.parametrize("release", ["vllm 0.33.0", "sglang 0.5.10", "sglang 0.5.23"])
def test_each_of_thousands_of_patterns_excludes_its_own_module_only(release: str) -> None:
    names = [f"hf.layers.{at // 512}.mlp.experts.{at % 512}.up_proj" for at in range(2_000)]
    metadata = bound(release, names, dict.fromkeys(names, "FP8"))
    for name in names[::40]:
        hit = metadata.resolve(name.replace("hf.", "model.")).excluded
        assert hit is not None
        assert hit.pattern.original == name
        other = metadata.resolve(name.replace("hf.", "model.").replace("experts", "rest"))
        assert other.excluded is None


def test_an_invalid_pattern_stops_sglang_only_if_it_is_reached() -> None:
    metadata = bound("sglang 0.5.23", ["lm_head", "model.layers.(0"])
    assert metadata.resolve("lm_head").exclusion_error == ""
    stopped = metadata.resolve("model.layers.1.mlp")
    assert stopped.exclusion_error == "model.layers.(0 is not a valid regular expression"
    vllm = bound("vllm 0.33.0", ["lm_head", "model.layers.(0"]).resolve("model.layers.1.mlp")
    assert (vllm.excluded, vllm.exclusion_error) == (None, "")


def test_each_match_of_sglang_shows_how_and_in_which_spelling() -> None:
    excludes = ["hf.a*", "visual", "hf.x.q_a_proj", "language_model.hf.y"]
    metadata = bound("sglang 0.5.23", excludes)
    for name, how, original in (
        ("model.a.b", "wildcard", "hf.a*"),
        ("thinker.visual.blocks", "path part", "visual"),
        ("model.x.fused_qkv_a_proj_q_a_proj", "fused part", "hf.x.q_a_proj"),
        ("hf.y", "exact", "language_model.hf.y"),  # a copy without the wrapper's name is kept
    ):
        hit = metadata.resolve(name).excluded
        assert hit is not None
        assert (hit.how, hit.pattern.original) == (how, original)


@pytest.mark.parametrize(
    ("algo", "pattern", "name", "found"),
    [
        ("FP8", "layers.0.mlp", "model.layers.0.mlp.down_proj", "substring"),
        ("FP8", "model.layers.0*", "model.layers.0.mlp.down_proj", None),
        ("NVFP4", "model.layers.0*", "model.layers.0.mlp.down_proj", "wildcard"),
        ("NVFP4", "mtp*", "model.mtp.fc", None),
        ("NVFP4", "model.layers.0.attn.q_a_proj", "model.layers.1.attn.q_a_proj", "fused part"),
        ("NVFP4", "layers.0.attn.q_a_proj", "model.layers.1.attn.q_a_proj", "error"),
        ("NVFP4", "hf.a", "model.a", None),
    ],
)
def test_sglang_0_5_8_has_a_way_for_each_format(
    algo: str, pattern: str, name: str, found: str | None
) -> None:
    metadata = bound("sglang 0.5.8", [pattern], algo=algo)
    layer = metadata.resolve_module(name, experts=False)
    how = "error" if layer.exclusion_error else layer.excluded and layer.excluded.how
    assert how == found
    assert metadata.resolve_module(name, experts=True).excluded is None


def test_a_packed_name_below_an_empty_part_keeps_its_empty_parent() -> None:
    metadata = bound("vllm 0.33.0", [], {".q_proj": "FP8"})
    assert metadata.resolve(".qkv_proj").quant_algo == "FP8"
    assert metadata.resolve("qkv_proj").quant_algo is None


@pytest.mark.parametrize(
    ("release", "linear", "experts"),
    [
        ("vllm 0.20.0", set(), set()),
        ("vllm 0.25.0", {"MXFP8"}, {"MXFP8"}),
        ("vllm 0.33.0", {"MXFP8", "FP8_PB_WO"}, {"MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES"}),
        ("sglang 0.5.17", {"MXFP8"}, {"MXFP8"}),
        (
            "sglang 0.5.20",
            {"MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES"},
            {"MXFP8", "FP8_BLOCK_SCALES"},
        ),
        (
            "sglang 0.5.23",
            {"MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES"},
            {"MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES"},
        ),
    ],
)
def test_block_algorithms_that_a_release_dispatches(
    release: str, linear: set[str], experts: set[str]
) -> None:
    runtime, version = release.split()
    rules = runtime_named(runtime).lookup_rules_of(version)
    blocks = {"MXFP8", "FP8_PB_WO", "FP8_BLOCK_SCALES"}
    assert rules.dispatched & blocks == linear
    assert rules.dispatched_experts & blocks == experts
