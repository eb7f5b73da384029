"""Names found by their text are the ones that a scan of every member finds."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ckptfix.jsontext.locate import located, member_at
from ckptfix.jsontext.text import JsonText, Path

NAME = st.text(alphabet='ab.1"\\é \u2028', max_size=4)


@given(
    st.dictionaries(NAME, st.one_of(NAME, st.dictionaries(NAME, NAME, max_size=2)), min_size=9),
    st.lists(NAME, min_size=9),
    st.sampled_from((None, 2)),
    st.booleans(),
)
def test_what_is_located_is_the_member(
    named: dict[str, object], listed: list[str], indent: int | None, ascii_only: bool
) -> None:
    value = {"first": "x", "named": named, "listed": listed}
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    document = JsonText.parse("config.json", text.encode())
    paths: list[Path] = [("named", name) for name in named]
    paths += [("listed", at) for at in range(len(listed))]
    for path, span in located(document, paths).items():
        assert member_at(document, path, span) == document.member(path)


def test_a_hundred_names_are_located() -> None:
    named = {f"model.layers.{n}": {"quant_algo": "FP8"} for n in range(100)}
    document = JsonText.parse("config.json", json.dumps({"named": named}, indent=2).encode())
    assert len(located(document, [("named", name) for name in named])) == 100


def test_a_name_that_is_also_a_value_is_left_to_the_scan() -> None:
    named = {f"a.{n}": f"a.{n}" for n in range(10)}
    document = JsonText.parse("config.json", json.dumps({"named": named}).encode())
    assert not located(document, [("named", name) for name in named])
