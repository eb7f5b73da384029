import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfix.names import NameMapper, Rule, RuleKind, is_class_name
from ckptfix.search.effort import limited_effort, spent
from ckptfix.text import visible

segments = st.sampled_from(["backbone", "backbone2", "model", "layers", "0", "1*", "in_proj", "*"])
names = st.lists(segments, min_size=1, max_size=5).map(".".join)
any_name = names | st.text(max_size=12)
rules = st.builds(
    Rule,
    st.sampled_from(["prefix", "suffix", "substr"]),
    names,
    st.none() | names | st.just(""),
    st.booleans(),
)


def prefix(old: str, new: str | None) -> Rule:
    return Rule("prefix", old, new)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("backbone.layers.0", "model.layers.0"),
        ("backbone", "model"),
        ("backbone2.layers.0", "backbone2.layers.0"),
        ("backbone.layers.1*", "model.layers.1*"),
        ("backbone*", "model*"),
        ("backbone.*", "model.*"),
        ("*backbone.layers.0", "*backbone.layers.0"),
        ("x.backbone.layers.0", "x.backbone.layers.0"),
        ("re:backbone.*", "re:backbone.*"),
        ("Linear", "Linear"),
    ],
)
def test_a_prefix_rule_matches_whole_segments_at_the_start(name: str, expected: str) -> None:
    assert NameMapper((prefix("backbone", "model"),)).map(name) == expected


def test_a_prefix_rule_can_be_set_to_match_characters() -> None:
    rule = Rule("prefix", "backbone", "model", whole_segments=False)
    assert rule.apply("backbone2.x") == "model2.x"


@pytest.mark.parametrize("name", ["Linear", "NemotronHMamba2Mixer"])
def test_an_empty_prefix_never_touches_class_names(name: str) -> None:
    # vllm-project/vllm issue 30287: `"" -> "model."` made `model.Linear`.
    assert prefix("", "model.").apply(name) == name
    assert prefix("", "model.").apply("layers.0") == "model.layers.0"


@pytest.mark.parametrize(
    ("kind", "old", "new", "name", "expected"),
    [
        ("substr", "embeddings", "embed_tokens", "a.embeddings.b", "a.embed_tokens.b"),
        ("substr", "embeddings", "embed_tokens", "a.word_embeddings", "a.word_embeddings"),
        ("substr", "mixer.mamba", "mixer", "l.0.mixer.mamba.in_proj*", "l.0.mixer.in_proj*"),
        ("suffix", "linear", "", "a.q_proj.linear", "a.q_proj"),
        ("suffix", "linear", "", "a.nonlinear", "a.nonlinear"),
        ("suffix", ".linear", "", "a.q_proj.linear", "a.q_proj"),
        ("prefix", "language_model", "", "language_model.model.x", "model.x"),
        ("regex", r"\.layers\.(\d+)\.", r".blocks.\1.", "a.layers.12.b", "a.blocks.12.b"),
        ("regex", r"vision", "visual", "re:.*vision.*", "re:.*visual.*"),
    ],
)
def test_each_kind_of_rule(kind: RuleKind, old: str, new: str, name: str, expected: str) -> None:
    assert Rule(kind, old, new).apply(name) == expected


def test_rules_apply_in_order_each_to_the_result_of_the_one_before() -> None:
    mapped = NameMapper((prefix("a", "b"), prefix("b", "c"), prefix("x", "y"))).trace("a.q")
    assert mapped.name == "c.q"
    assert mapped.rules == (0, 1)


def test_a_drop_rule_ends_the_mapping() -> None:
    mapper = NameMapper((prefix("mtp", None), prefix("mtp", "model")))
    assert mapper.trace("mtp.fc").name is None
    assert mapper.trace("mtp.fc").rules == (0,)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (prefix("model", "model.language_model"), "model.layers.0"),
        (prefix("", "model."), "layers.0"),
        (Rule("suffix", "qkv", "attn.qkv"), "blocks.0.qkv"),
    ],
)
def test_a_rule_whose_result_holds_its_own_old_text_applies_once(rule: Rule, name: str) -> None:
    mapper = NameMapper((rule,))
    once = mapper.map(name)
    assert once is not None
    assert once != name
    assert mapper.map(once) == once


def test_a_map_that_would_go_on_changing_a_name_is_reported() -> None:
    mapper = NameMapper((prefix("b", "c"), prefix("a", "b")))
    assert mapper.unstable(["a.x", "c.x"]) == ("a.x", "b.x", "c.x")
    assert mapper.unstable(["c.x"]) is None


@given(rule=rules, name=any_name)
def test_no_rule_rewrites_a_class_name_and_no_prefix_or_suffix_rule_a_regex(
    rule: Rule, name: str
) -> None:
    assert rule.apply("Linear") == "Linear"
    if rule.kind != "substr":
        assert rule.apply("re:" + name) == "re:" + name


@given(rules=st.lists(rules, max_size=3), name=any_name)
def test_a_map_that_is_called_stable_changes_nothing_the_second_time(
    rules: list[Rule], name: str
) -> None:
    mapper = NameMapper(tuple(rules))
    once = mapper.map(name)
    if mapper.unstable([name]) is None and once is not None:
        assert mapper.map(once) == once


@given(old=names, new=names, name=names)
def test_a_prefix_rule_keeps_what_follows_the_prefix(old: str, new: str, name: str) -> None:
    result = prefix(old, new).apply(f"{old}.{name}")
    assert result is not None
    assert result.endswith(f".{name}")


def test_below_moves_prefix_rules_only() -> None:
    mapper = NameMapper((prefix("backbone", "model"), Rule("substr", "embeddings", "embed")))
    below = mapper.below("language_model")
    assert below.map("language_model.backbone.embeddings") == "language_model.model.embed"
    assert below.map("backbone.x") == "backbone.x"


@given(st.text())
def test_visible_names_are_printable(name: str) -> None:
    assert visible(name).isprintable() or visible(name) == ""
    if name.isprintable():
        assert visible(name) == name


@pytest.mark.parametrize(
    ("name", "expected"), [("Linear", True), ("lm_head", False), ("A.b", False)]
)
def test_class_names(name: str, *, expected: bool) -> None:
    assert is_class_name(name) is expected


@given(
    st.lists(
        rules
        | st.builds(
            Rule,
            st.just("regex"),
            st.sampled_from(["l.yers", "0|1", "_proj$"]),
            st.none() | st.just("x"),
        ),
        min_size=17,
        max_size=24,
    ),
    any_name,
)
def test_many_rules_do_what_each_does_in_turn(many: list[Rule], name: str) -> None:
    current: str | None = name
    for rule in many:
        current = None if current is None else rule.apply(current)
    assert NameMapper(tuple(many)).map(name) == current


def test_rules_that_cannot_match_are_not_tried() -> None:
    many = NameMapper(tuple(Rule("substr", f"part{number}x", "y") for number in range(2_000)))
    with limited_effort():
        for number in range(300):
            assert many.map(f"model.part{number}.x_proj") == f"model.part{number}.x_proj"
        tried = spent()
    assert tried < 300 * 10
