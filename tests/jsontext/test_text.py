import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfix.errors import CkptfixError
from ckptfix.jsontext import text as text_module
from ckptfix.jsontext.text import JsonText, pointer

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=20,
)
documents = st.dictionaries(st.text(max_size=8), values, max_size=5)
indents = st.sampled_from([None, 0, 1, 4, "\t"])


def value_at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@given(document=documents, indent=indents, ascii_only=st.booleans(), large=st.booleans())
def test_every_member_is_found_at_its_position(
    document: dict[str, Any], indent: int | str | None, *, ascii_only: bool, large: bool
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate written raw is not UTF-8
        return
    parsed = JsonText.parse("config.json", data)
    found = 0
    with patch.object(text_module, "_LARGE", 0 if large else 1 << 16):
        members = list(parsed.walk())
    for member in members:
        path = member.path
        found += 1
        written = json.loads(text[member.value_start : member.end])
        assert repr(written) == repr(value_at(document, path))
        if isinstance(path[-1], str):
            assert json.loads(text[member.start : member.key_end]) == path[-1]
    assert found == count_members(document)


def test_a_duplicate_key_is_found_behind_many_others() -> None:
    many = "".join(f'"k{number}": {number},\n' for number in range(10_000))
    data = b'{"a": {' + many.encode() + b'"b": 1, "b": [2, 3]}}'
    with pytest.raises(CkptfixError, match=r'config.json:10001:9 /a/b: duplicate key "b"'):
        JsonText.parse("config.json", data)


def count_members(value: Any) -> int:
    inner = (
        list(value.values())
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else []
    )
    return len(inner) + sum(count_members(child) for child in inner)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1,\n "b": }', "config.json:2:7: not valid JSON: expecting value"),
        (b'{"a": {"b": 1,\n "b": 2}}', 'config.json:2:2 /a/b: duplicate key "b"'),
        (b'{"a": {"b": 1, "b": 2}', "config.json:1:23: not valid JSON: expecting ',' delimiter"),
        (b'{"a": 1}{', "not valid JSON: extra data"),
        (b"", "config.json:1:1: not valid JSON"),
        (b"[]", "holds a list instead of a JSON object"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at offset 7"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "too many digits"),
        (b'{"a": "\x00"}', "not valid JSON: invalid control character"),
    ],
)
def test_bad_json_is_reported_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(CkptfixError) as error:
        JsonText.parse("config.json", data)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_pointers_escape_slash_tilde_and_control_characters() -> None:
    assert pointer(("a/b", "c~d", 0, "n\x00")) == r"/a~1b/c~0d/0/n\x00"


def test_a_place_has_the_line() -> None:
    text = JsonText.parse("config.json", b'{\n "a": [\n  1,\n  2]\n}')
    assert str(text.place(("a", 1))) == "config.json:4 /a/1"
