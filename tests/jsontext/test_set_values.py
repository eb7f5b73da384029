"""Values are set in the text's own indentation, and nothing else moves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfix.jsontext.set_values import set_values
from ckptfix.jsontext.spans import apply_edits
from ckptfix.jsontext.text import JsonText, Path
from tests.jsontext.test_text import documents, indents


def set_in(text: str, settings: dict[Path, object], appended: Any = None) -> str:
    document = JsonText.parse("config.json", text.encode())
    return apply_edits(text, set_values(document, settings, appended or {}))


@pytest.mark.parametrize("indent", [None, 1, 2, 4, "\t"])
def test_the_result_is_indented_as_the_rest(indent: int | str | None) -> None:
    before = {"a": {"x": 1, "list": []}, "b": {}, "c": [1]}
    after = {
        "a": {"x": {"deep": [1, 2]}, "list": ["new", {"k": 1}], "y": 2, "z": 3},
        "b": {"first": {}},
        "c": [1, 2],
        "d": {"e": {"f": None}},
    }
    settings: dict[Path, object] = {
        ("a", "x"): {"deep": [1, 2]},
        ("a", "y"): 2,
        ("a", "z"): 3,
        ("b", "first"): {},
        ("d",): {"e": {"f": None}},
    }
    appended = {("a", "list"): ["new", {"k": 1}], ("c",): [2]}
    made = set_in(json.dumps(before, indent=indent), settings, appended)
    assert made == json.dumps(after, indent=indent)


def test_appending_nothing_changes_nothing() -> None:
    for text in ('{"a": [], "b": [1]}', '{\n  "a": [],\n  "b": [\n    1\n  ]\n}'):
        assert set_in(text, {}, {("a",): [], ("b",): []}) == text


def test_compact_text_stays_compact() -> None:
    made = set_in('{"a":{},"b":[1]}', {("c",): {"d": [1, 2]}}, {("b",): [2]})
    assert made == '{"a":{},"b":[1,2],"c":{"d":[1,2]}}'


@given(documents, indents, st.text(max_size=5), st.data())
def test_the_value_is_there_and_the_others_are_as_they_were(
    value: dict[str, Any], indent: int | str | None, key: str, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent)
    document = JsonText.parse("config.json", text.encode())
    objects: list[Path] = [
        (),
        *(m.path for m in document.walk() if text[m.value_start] == "{"),
    ]
    parent = data.draw(st.sampled_from(objects))
    made = json.loads(set_in(text, {(*parent, key): {"new": [1]}}))
    expected = json.loads(text)
    at = expected
    for part in parent:
        at = at[part]
    at[key] = {"new": [1]}
    assert made == expected
    assert json.dumps(made) == json.dumps(expected)  # members keep their order
