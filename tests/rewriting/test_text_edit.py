"""Edits joined are edits made one after the other."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ckptfix.jsontext.spans import TextEdit, apply_edits, compose_edits


@st.composite
def edits_of(draw: st.DrawFn, text: str) -> list[TextEdit]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    return [TextEdit(start, end, draw(st.text("xyz", max_size=3))) for start, end in spans]


@given(st.data(), st.text("abc", max_size=20))
def test_composed_edits_do_what_both_do_in_turn(data: st.DataObject, text: str) -> None:
    first = data.draw(edits_of(text))
    middle = apply_edits(text, first)
    second = data.draw(edits_of(middle))
    composed = compose_edits(text, first, second)
    assert apply_edits(text, composed) == apply_edits(middle, second)
    ends = [(edit.start, edit.end) for edit in composed]
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
