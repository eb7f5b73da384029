import pytest

from ckptfix.errors import CkptfixError
from ckptfix.runtimes.name_maps import (
    builtin_maps,
    choose_name_map,
    compile_rules,
    parse_map_option,
    parse_name_map,
)

NANO_VL = "language_model.backbone.layers.0.mixer.in_proj"


@pytest.mark.parametrize(
    ("architectures", "nested", "name", "expected"),
    [
        (["NemotronH_Nano_VL_V2"], [], NANO_VL, NANO_VL.replace("backbone", "model")),
        (["NemotronH_Nano_Omni_Reasoning_V3"], [], NANO_VL, NANO_VL.replace("backbone", "model")),
        (["NemotronHForCausalLM"], [], "backbone.layers.0", "model.layers.0"),
        (
            ["SomeWrapper"],
            [("language_model", ["NemotronHForCausalLM"])],
            NANO_VL,
            NANO_VL.replace("backbone", "model"),
        ),
        (["LlamaForCausalLM"], [], "backbone.layers.0", "backbone.layers.0"),
        ([], [], "backbone.layers.0", "backbone.layers.0"),
    ],
)
def test_the_map_is_chosen_by_architecture(
    architectures: list[str], nested: list[tuple[str, list[str]]], name: str, expected: str
) -> None:
    assert choose_name_map(architectures, nested).mapper.map(name) == expected


def test_old_names_are_a_finding_only_where_a_release_needs_the_new_ones() -> None:
    assert choose_name_map(["NemotronH_Nano_VL_V2"], []).required
    assert not choose_name_map(["NemotronHForCausalLM"], []).required


def test_the_exporters_sentinel_is_stripped_and_a_wildcard_kept() -> None:
    mapper = choose_name_map(["NemotronHForCausalLM"], []).mapper
    assert mapper.map("lm_head.\0backbone.pt_name_sentinel") == "lm_head"
    assert mapper.map("backbone.layers.3.\0backbone.pt_name_sentinel*") == "model.layers.3*"


def test_built_in_maps_name_their_sources() -> None:
    for spec in builtin_maps():
        assert spec.architectures
        assert spec.description
        for needed in spec.needed_by:
            assert needed.versions in needed.source or needed.versions.lstrip("<") in needed.source


GOOD = """
[[rules]]
kind = "prefix"
old = "language_model.backbone"
new = "language_model.model"

[[rules]]
kind = "suffix"
old = ".linear"
drop = true
"""


def test_a_mapper_file() -> None:
    mapper = compile_rules(parse_name_map(GOOD, "rules.toml"), "rules.toml")
    assert mapper.map(NANO_VL) == NANO_VL.replace("backbone", "model")
    assert mapper.map("a.linear") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules = [", "rules.toml: not valid TOML"),
        ("", "missing required field `rules`"),
        ('[[rules]]\nkind = "infix"\nold = "a"\nnew = "b"', "Invalid enum value 'infix'"),
        ('[[rules]]\nkind = "prefix"\nold = "a"\nnwe = "b"', "unknown field `nwe`"),
        ('[[rules]]\nkind = "prefix"\nold = "a"', "/rules/0: a rule needs either a new name"),
        ('[[rules]]\nkind = "prefix"\nold = "a"\nnew = "b"\ndrop = true', "not both"),
        ('[[rules]]\nkind = "substr"\nold = ""\nnew = "b"', "match everything"),
        ('[[rules]]\nkind = "regex"\nold = "("\nnew = ""', "not a valid regular expression"),
        ('[[rules]]\nkind = "regex"\nold = "a"\nnew = "\\\\2"', "not a valid regular expression"),
        ('[[rules]]\nkind = "regex"\nold = "a*"\nnew = "b"', "matches the empty string"),
        ("x = " + "[" * 5000, "rules.toml: n"),
    ],
)
def test_a_bad_mapper_file_is_reported_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(CkptfixError) as error:
        compile_rules(parse_name_map(text, "rules.toml"), "rules.toml")
    assert message in str(error.value)


@pytest.mark.parametrize("option", ["a", "=b", ""])
def test_a_bad_map_option_is_reported(option: str) -> None:
    with pytest.raises(CkptfixError, match="expected OLD=NEW"):
        parse_map_option(option)


def test_a_map_option_may_drop_a_prefix() -> None:
    assert parse_map_option("language_model=").apply("language_model.model.x") == "model.x"
