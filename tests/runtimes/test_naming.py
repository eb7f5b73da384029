import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfix.runtimes.name_index import NameIndex

NAMES = ["lm_head", "m.layers.1.q", "m.layers.1.k", "m.layers.10.q", "m.layers.1.experts.0.up"]


def index(names: list[str]) -> NameIndex:
    return NameIndex({name: name for name in names})


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [
        ("lm_head", ["lm_head"]),
        ("lm_head*", ["lm_head"]),
        ("lm_head.*", ["lm_head"]),
        ("m.layers.1", ["m.layers.1.experts.0.up", "m.layers.1.k", "m.layers.1.q"]),
        ("m.layers.1.*", ["m.layers.1.experts.0.up", "m.layers.1.k", "m.layers.1.q"]),
        (
            "m.layers.1*",
            ["m.layers.1.experts.0.up", "m.layers.1.k", "m.layers.1.q", "m.layers.10.q"],
        ),
        ("*.q", ["m.layers.1.q", "m.layers.10.q"]),
        ("m.layers.?.q", ["m.layers.1.q"]),
        (r"re:.*\.k$", ["m.layers.1.k"]),
        ("re:(", []),
        ("m.layer", []),
        ("mtp*", []),
    ],
)
def test_patterns(pattern: str, covered: list[str]) -> None:
    assert sorted(index(NAMES).matching(pattern)) == covered


def test_a_name_means_itself_and_everything_below() -> None:
    assert index(NAMES).stands_for("m.layers.1.experts") == ["m.layers.1.experts.0.up"]
    assert index(NAMES).stands_for("m.layers.1.q") == ["m.layers.1.q"]
    assert index(NAMES).stands_for("m.layers.1.q.weight") == []


@given(
    names=st.lists(st.text("ab.", min_size=1, max_size=6), max_size=12, unique=True),
    wanted=st.text("ab.", min_size=1, max_size=4),
)
def test_lookups_equal_a_scan_of_all_names(names: list[str], wanted: str) -> None:
    found = index(names)
    assert sorted(found.stands_for(wanted)) == sorted(
        n for n in names if n == wanted or n.startswith(wanted + ".")
    )
    assert sorted(found.starting(wanted)) == sorted(n for n in names if n.startswith(wanted))


def test_the_nearest_name_is_suggested() -> None:
    assert index(["backbone.embedding", "lm_head"]).nearest("backbone.embeddings") == (
        "backbone.embedding"
    )
    assert index(NAMES).nearest("something.else.entirely") is None


def test_names_that_differ_in_numbers_each_get_their_own_suggestion() -> None:
    index = NameIndex({n: n for n in (f"model.layers.{layer}.mlp.up_proj" for layer in range(9))})
    wrong = [f"model.layer.{layer}.mlp.up_proj" for layer in range(9)]
    assert [index.nearest(name) for name in wrong] == list(index.module_of)
    assert index.nearest("model.layer.77.mlp.up_proj") in index.module_of
    assert index.nearest("visual.blocks.3") is None
    assert index.nearest("visual.blocks.4") is None
