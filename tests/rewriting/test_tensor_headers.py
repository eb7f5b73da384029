"""New names in the header of a shard file: everything else stays, and readers take it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import deserialize

from ckptfix.errors import CkptfixError
from ckptfix.rewriting.tensors.headers import GROWTH, rename_in_head

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name != "__metadata__"
)


def head_of(header: object, padding: int = 0, *, ascii_only: bool = False) -> bytes:
    text = json.dumps(header, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    return (len(text) + padding).to_bytes(8, "little") + text + b" " * padding


def tensors(names: list[str]) -> dict[str, Any]:
    return {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]}
        for n, name in enumerate(names)
    }


@given(
    st.lists(NAMES, unique=True, min_size=1, max_size=6),
    st.dictionaries(NAMES, NAMES, max_size=6),
    st.integers(0, 60),
    st.booleans(),
)
def test_readers_find_the_same_tensors_under_the_new_names(
    names: list[str], wanted: dict[str, str], padding: int, ascii_only: bool
) -> None:
    renames = {n: wanted[o] for n, o in zip(names, wanted, strict=False)}
    new = [renames.get(name, name) for name in names]
    if len(set(new)) != len(new):
        return
    header = {"__metadata__": {names[0]: "a name as text stays"}, **tensors(names)}
    change = rename_in_head("a", head_of(header, padding, ascii_only=ascii_only), renames)
    data = bytes(range(len(names)))
    read = dict(deserialize(change.after + data))  # type: ignore[no-untyped-call]
    assert {name: bytes(t["data"]) for name, t in read.items()} == {
        name: bytes([n]) for n, name in enumerate(new)
    }
    assert json.loads(change.after[8:])["__metadata__"] == header["__metadata__"]
    assert (len(change.after) - len(change.before)) % GROWTH == 0
    longer = sum(len(n.encode()) for n in new) - sum(len(n.encode()) for n in names)
    if longer <= 0 and all(name.isascii() and name.isprintable() for name in names + new):
        assert change.fits or any('"' in n or "\\" in n for n in new)


def test_the_spaces_at_the_end_are_used_before_the_header_grows() -> None:
    header = tensors(["a"])
    assert rename_in_head("f", head_of(header, 3), {"a": "abcd"}).fits
    assert not rename_in_head("f", head_of(header, 2), {"a": "abcd"}).fits


def test_only_the_keys_change_even_where_a_value_has_the_same_text() -> None:
    text = (
        b'{ "__metadata__" : {"a":"a"},\n\t"a" : {"dtype":"U8", "shape":[], "data_offsets":[0,1]} }'
    )
    head = len(text).to_bytes(8, "little") + text
    after = rename_in_head("f", head, {"a": "b"}).after
    assert after[8:] == text.replace(b'\t"a"', b'\t"b"')


def test_a_header_that_names_a_tensor_twice_is_refused() -> None:
    row = json.dumps(tensors(["a"])["a"])
    text = f'{{"a":{row},"a":{row}}}'.encode()
    with pytest.raises(CkptfixError, match="names a twice"):
        rename_in_head("f", len(text).to_bytes(8, "little") + text, {"a": "b"})
