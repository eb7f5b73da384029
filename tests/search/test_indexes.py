"""Each index gives what trying everything on everything gives."""

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfix.search.effort import EffortError, limited_effort, spend, spent
from ckptfix.search.globs import Glob, GlobTable
from ckptfix.search.grams import PieceIndex, TextIndex
from ckptfix.search.prefixes import FirstBelow, Prefixes
from ckptfix.search.regexes import required_pieces
from ckptfix.search.shapes import Shapes

PIECES = st.sampled_from(["a", "b", "ab", "aab", "layers", ".", "0", "\n"])
TEXTS = st.lists(PIECES, max_size=8).map("".join)
SHELL = st.sampled_from(["*", "?", "[", "]", "!", "^", "-", "[ab]", "[!a]", "[a-b]", "[]a]", "\\"])
GLOBS = st.lists(st.one_of(PIECES, SHELL), max_size=8).map("".join)
ATOMS = st.sampled_from(
    ["a", "b", r"\.", ".", "[ab]", "[^a.]", r"\d", "layers", "^", "$", "0", "("]
)
REGEXES = st.lists(
    st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "*?", "+?", "??", "**", "{2}"])),
    max_size=6,
).map(lambda atoms: "".join(map("".join, atoms)))


@given(GLOBS, TEXTS)
def test_a_wildcard_is_the_one_of_fnmatch(pattern: str, name: str) -> None:
    assert Glob(pattern).matches(name) == fnmatchcase(name, pattern)
    if fnmatchcase(name, pattern):
        assert all(piece in name for piece in Glob(pattern).pieces)


@given(GLOBS)
def test_a_wildcard_over_many_names_is_the_same(pattern: str) -> None:
    names = [f"layers.{number}.a{number % 3}b" for number in range(300)]
    assert Glob(pattern).matching(names) == [n for n in names if fnmatchcase(n, pattern)]


NAMES = {
    f"{head}{number}.a{number % 11}{tail}": f"m{number}{tail}"
    for head in ("layers.", "b0")
    for number in range(120)
    for tail in ("", "b", ".weight")
}


@given(GLOBS)
def test_a_wildcard_over_names_that_differ_in_numbers_is_the_same(pattern: str) -> None:
    shapes, glob = Shapes(NAMES, or_with=".weight"), Glob(pattern)
    if shapes.decides(glob):
        wanted = (n for n in NAMES if any(fnmatchcase(x, pattern) for x in (n, f"{n}.weight")))
        assert shapes.matching(glob) == tuple(NAMES[name] for name in wanted)


def test_only_wildcards_that_see_no_number_are_tried_on_shapes() -> None:
    shapes = Shapes(NAMES, or_with=".weight")
    assert shapes.matching(Glob("*.a*b")) is shapes.matching(Glob("*a*b"))
    assert all(map(shapes.decides, map(Glob, ["*", "b*.a*", "layers.*b"])))
    assert not any(map(shapes.decides, map(Glob, ["*1*", "layers.?.a*", "*[a-z]"])))


@given(st.lists(GLOBS, max_size=8), TEXTS)
def test_the_first_of_many_wildcards(patterns: list[str], name: str) -> None:
    hits = (at for at, pattern in enumerate(patterns) if fnmatchcase(name, pattern))
    assert GlobTable(patterns).first(name) == next(hits, None)


@given(st.lists(TEXTS, unique=True, max_size=12), TEXTS)
def test_texts_that_another_begins_with_or_holds(texts: list[str], text: str) -> None:
    rank = {known: len(texts) - number for number, known in enumerate(texts)}
    prefixes = Prefixes(rank)

    def lowest(hits: list[str]) -> int | None:
        return min((rank[hit] for hit in hits), default=None)

    for start in range(len(text) + 1):
        hits = [known for known in texts if text[start:].startswith(known)]
        assert prefixes.first_at(text, start) == lowest(hits)
    inside = [known for known in texts if known in text]
    assert prefixes.first_inside(text) == lowest(inside)
    shorter = [known for known in inside if known != text]
    assert prefixes.first_inside(text, shorter=True) == lowest(shorter)


def test_a_long_chain_of_beginnings_is_found_at_every_length() -> None:
    chain = ["a" * length for length in range(1, 300)]
    prefixes = Prefixes({text: 1_000 - len(text) for text in [*chain, "a" * 300 + "b"]})
    for length in range(1, 300):
        assert prefixes.first_at("a" * length + "c") == 1_000 - length


@given(st.lists(TEXTS, unique=True, max_size=12), TEXTS)
def test_the_first_text_with_a_common_prefix(texts: list[str], head: str) -> None:
    expected = next((at for at, text in enumerate(texts) if text.startswith(head)), None)
    assert FirstBelow(texts).first(head) == expected


@given(
    st.lists(TEXTS, max_size=12), st.lists(st.lists(TEXTS, max_size=2), min_size=40, max_size=40)
)
def test_texts_that_hold_some_pieces(texts: list[str], wanted: list[list[str]]) -> None:
    index = TextIndex(texts)
    for pieces in wanted:  # the index is made after some searches without it
        for piece in pieces:
            assert index.holding(piece) == [at for at, t in enumerate(texts) if piece in t]
        found = index.holding_all(pieces)
        assert found == sorted(set(found))
        assert {at for at, t in enumerate(texts) if all(p in t for p in pieces)} <= set(found)


@given(st.lists(st.lists(TEXTS, max_size=2), max_size=8), TEXTS)
def test_nothing_that_a_text_may_be_for_is_left_out(things: list[list[str]], text: str) -> None:
    candidates = PieceIndex(things).candidates(text)
    assert candidates == sorted(set(candidates))
    fitting = {at for at, pieces in enumerate(things) if all(piece in text for piece in pieces)}
    assert fitting <= set(candidates)


@given(REGEXES, TEXTS)
def test_what_an_expression_needs_is_in_all_that_it_matches(expression: str, text: str) -> None:
    pieces = required_pieces(expression)
    if pieces is not None:
        found = re.search(expression, text)  # a plain expression is valid
        assert found is None or all(piece in found[0] for piece in pieces)


def test_comparisons_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptfix.search.effort.MOST_COMPARISONS", 1_000)
    names = [f"{number}a" for number in range(100)]
    with limited_effort():
        index = TextIndex(names)
        for number in range(10):
            index.holding(str(number))
        assert spent() == 1_000
        with limited_effort():
            assert spent() == 0
        with pytest.raises(EffortError):
            spend(1)
