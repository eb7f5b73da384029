"""Lines of places, against a scan of the text."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ckptfix.jsontext.lines import lines_of
from ckptfix.jsontext.text import JsonText, pointer

KEYS = st.text(alphabet="ab./~1\\\n\x00é", max_size=4)
VALUES = st.recursive(
    st.one_of(st.none(), KEYS),
    lambda below: st.lists(below, max_size=12) | st.dictionaries(KEYS, below, max_size=12),
    max_leaves=40,
)


@given(st.dictionaries(KEYS, VALUES, max_size=12), st.sampled_from((None, 0, 2)))
def test_every_place_is_found_on_its_line(value: dict[str, Any], indent: int | None) -> None:
    document = JsonText.parse("config.json", json.dumps(value, indent=indent).encode())
    members = {pointer(member.path): member for member in document.walk()}
    lines = lines_of(document, [*members, "", "/not/there"])
    assert lines.pop("") == 1
    wanted = {text: document.text.count("\n", 0, m.start) + 1 for text, m in members.items()}
    assert lines == wanted


def test_a_large_container_is_searched_for_a_few_names() -> None:
    named = {f"model.layers.{n}": {"quant_algo": "FP8"} for n in range(5000)}
    document = JsonText.parse("config.json", json.dumps({"named": named}, indent=2).encode())
    assert lines_of(document, ["/named/model.layers.4999"]) == {
        "/named/model.layers.4999": 14_999 + 1
    }
    assert ("named",) not in document._children
