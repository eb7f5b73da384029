"""A header that our reader accepts is one that safetensors accepts, and means the same."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from ckptfix.checkpoint.file_kind import header_length
from ckptfix.checkpoint.safetensors import (
    DTYPE_BITS,
    LONGEST_NAME,
    Layouts,
    RawHeader,
    read_header,
)
from ckptfix.errors import CkptfixError
from tests.cases.packed import SHARED_CASES, packed, unpack
from tests.conftest import FIXTURE_NAMES, FIXTURES
from tests.fuzz.targets import TARGETS, corpus

Contents = dict[str, tuple[str, tuple[int, ...]]]
CORPUS = corpus("header")
NOT_OURS = "the header would be", f"the limit is {LONGEST_NAME:,}"
"""Refused by us alone: a header must begin with `{` (the format's own description), and no name is
longer than names get."""


def read_by_us(data: bytes) -> Contents | str:
    length = header_length(data[:24])
    if length is None or 8 + length > len(data):
        return "the header would be cut off, or is none"
    raw = RawHeader("a.safetensors", data[8 : 8 + length], len(data))
    try:
        header = read_header(raw, Layouts())
    except CkptfixError as error:
        return str(error)
    return {name: (tensor.dtype, tensor.shape) for name, tensor in header.items()}


def read_by_the_library(data: bytes) -> Contents | str:
    try:
        found = deserialize(data)  # type: ignore[no-untyped-call]
    except (SafetensorError, UnicodeDecodeError) as error:
        return str(error) or "refused"
    return {name: (row["dtype"], tuple(row["shape"])) for name, row in found}


def assert_same(data: bytes) -> None:
    ours, theirs = read_by_us(data), read_by_the_library(data)
    if isinstance(ours, str):
        assert isinstance(theirs, str) or any(words in ours for words in NOT_OURS), ours
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", FIXTURE_NAMES)
def test_every_fixture(name: str) -> None:
    for file in FIXTURES.joinpath(name).glob("*.safetensors"):
        assert_same(file.read_bytes())
        assert isinstance(read_by_us(file.read_bytes()), dict)


@pytest.mark.parametrize("slug", sorted(packed()))
def test_every_case(slug: str, tmp_path: Path) -> None:
    shared = SHARED_CASES / slug
    for file in (shared if shared.is_dir() else unpack(slug, tmp_path / slug)).glob(
        "*.safetensors"
    ):
        assert_same(file.read_bytes())


@pytest.mark.parametrize("seed", CORPUS)
def test_the_fuzz_corpus(seed: str) -> None:
    assert_same(CORPUS[seed])


def shard_file(header: str, data_bytes: int = 0) -> bytes:
    encoded = header.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded + bytes(data_bytes)


def with_row(row: str) -> str:
    return '{"n0":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"n1":' + row + "}"


PLAIN = '{"dtype":"U8","shape":[2],"data_offsets":[2,4]'
REFUSED = {
    "a field twice": with_row(f'{PLAIN},"dtype":"U8"}}'),
    "a field twice, once escaped": with_row(f'{PLAIN},"\\u0064type":"U8"}}'),
    "no shape": with_row('{"dtype":"U8","data_offsets":[2,3]}') + " ",
    "no shape, hidden by the next": with_row('{"dtype":"U8","data_offsets":[2,4]}')[:-1]
    + f',"n1":{PLAIN}}}}}',
    "a float": with_row('{"dtype":"U8","shape":[2.0],"data_offsets":[2,4]}'),
    "a float with an exponent": with_row('{"dtype":"U8","shape":[2e0],"data_offsets":[2,4]}'),
    "minus zero": with_row('{"dtype":"U8","shape":[2],"data_offsets":[2,4]}').replace("[0", "[-0"),
    "a bool": with_row('{"dtype":"U8","shape":[2,true],"data_offsets":[2,4]}'),
    "half a byte": with_row('{"dtype":"F4","shape":[3],"data_offsets":[2,4]}'),
    "a product over 64 bits": with_row(
        f'{{"dtype":"U8","shape":[{2**63},2,0],"data_offsets":[2,2]}}'
    ),
    "a number over 64 bits": with_row(f'{{"dtype":"U8","shape":[0,{2**64}],"data_offsets":[2,2]}}'),
    "metadata twice": '{"__metadata__":{},"__metadata__":{}}',
    "metadata of numbers": '{"__metadata__":{"epoch":1}}',
    "metadata in a list": '{"__metadata__":[]}',
    "an extra field that is too deep": with_row(f'{PLAIN},"x":{"[" * 126}{"]" * 126}}}'),
}
ACCEPTED = {
    "no tensors": "{}",
    "metadata that is null": '{"__metadata__":null}',
    "metadata named as fields are": '{"__metadata__":{"dtype":"F32","shape":"x"}}',
    "metadata with JSON in it": '{"__metadata__":{"note":"{\\"a\\": -1.5e3}"}}',
    "an extra field": with_row(f'{PLAIN},"x":[1.5,{{"y":null}}]}}'),
    "an extra field that is deep": with_row(f'{PLAIN},"x":{"[" * 125}{"]" * 125}}}'),
    "a name twice": with_row(f"{PLAIN}}}")[:-1] + f',"n1":{PLAIN}}}}}',
    "a name with an escape": with_row(f"{PLAIN}}}").replace("n0", "n\\u00e9"),
    "blanks at the end": with_row(f"{PLAIN}}}") + " \n\t ",
    "nothing in a large shape": with_row(
        f'{{"dtype":"U8","shape":[0,{2**63}],"data_offsets":[2,2]}}'
    ),
    "four bits each": with_row('{"dtype":"F4","shape":[4],"data_offsets":[2,4]}'),
}


def data_bytes_of(header: str) -> int:
    """Up to the last offset that the text has."""
    return 4 if "[2,4]" in header else 2 if '"n0"' in header else 0


@pytest.mark.parametrize("kind", REFUSED)
def test_what_only_a_lenient_reader_accepts_is_refused(kind: str) -> None:
    for data_bytes in (data_bytes_of(REFUSED[kind]), 3):
        data = shard_file(REFUSED[kind], data_bytes)
        assert isinstance(read_by_us(data), str)
        assert isinstance(read_by_the_library(data), str)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_unusual_but_sound_is_accepted(kind: str) -> None:
    data = shard_file(ACCEPTED[kind], data_bytes_of(ACCEPTED[kind]))
    assert isinstance(read_by_the_library(data), dict)
    assert read_by_us(data) == read_by_the_library(data)


SCALARS = st.sampled_from(
    ["null", "true", "0", "-1", "-0", "2.0", "1e2", str(2**63), str(2**64), '"x"']
)
ODD = SCALARS | st.sampled_from(["[]", "{}", '{"a":"b"}', '{"a":1}', '{"a":"b","a":"c"}', "[[0]]"])
NAMES = st.sampled_from(["a", "a.weight", "", "\\u00e9", "\u00e9", "__metadata__", "n0", "n1"])
DTYPES = st.sampled_from(sorted(DTYPE_BITS))
HOW = st.sampled_from(["lose", "replace", "repeat", "element"])


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Nearly sound: rows that cover the data, with a few things changed."""
    rows = []
    end = 0
    for number in range(draw(st.integers(0, 4))):
        dtype, shape = draw(DTYPES), draw(st.lists(st.sampled_from([0, 1, 2, 3, 8]), max_size=3))
        start, end = end, end + math.ceil(math.prod(shape) * DTYPE_BITS[dtype] / 8)
        fields = [("dtype", f'"{dtype}"'), ("shape", str(shape))]
        fields.append(("data_offsets", str([start, end])))
        if draw(st.integers(0, 5)) == 0:
            fields = altered(fields, draw(HOW), draw(st.integers(0, 2)), draw(ODD))
        name = draw(NAMES) if draw(st.integers(0, 9)) == 0 else f"n{number}"
        rows.append((name, "{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}"))
    if draw(st.booleans()):
        metadata = '{"format":"pt"}' if draw(st.booleans()) else draw(ODD)
        rows.insert(draw(st.sampled_from([0, len(rows)])), ("__metadata__", metadata))
    rows = list(draw(st.permutations(rows)))
    text = "{" + ",".join(f'"{name}":{row}' for name, row in rows) + "}"
    text += draw(st.sampled_from(["", "", "  ", "\n", "x", "\0"]))
    return shard_file(text, max(0, end + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))))


def altered(fields: list[tuple[str, str]], how: str, at: int, odd: str) -> list[tuple[str, str]]:
    key, value = fields[at]
    if how == "lose":
        return fields[:at] + fields[at + 1 :]
    if how == "repeat":
        return [*fields, fields[at]]
    if how == "element":
        odd = f"[{odd}]" if value == "[]" else value.replace(value[1:-1].split(",")[0], odd, 1)
    return [*fields[:at], (key, odd), *fields[at + 1 :]]


@settings(max_examples=1_500)
@given(headers())
def test_headers_that_are_nearly_sound(data: bytes) -> None:
    assert_same(data)


@settings(max_examples=300)
@given(TARGETS["header"].inputs("header"))
def test_whatever_the_fuzzer_makes(data: bytes) -> None:
    assert_same(data)
