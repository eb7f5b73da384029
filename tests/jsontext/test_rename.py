"""Bytes outside the renamed strings do not change."""

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from ckptfix.jsontext.rename import edit_json
from ckptfix.jsontext.spans import apply_edits
from ckptfix.jsontext.text import JsonText, Path
from ckptfix.rewriting.diff import unified_diff
from ckptfix.rewriting.plan import FileChange
from tests.jsontext.test_text import documents, indents


def document_of(value: dict[str, Any], indent: int | str | None, *, ascii_only: bool) -> JsonText:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        assume(False)
        raise
    return JsonText.parse("config.json", data)


@st.composite
def edits(draw: st.DrawFn) -> tuple[JsonText, dict[Path, str], set[Path]]:
    document = document_of(draw(documents), draw(indents), ascii_only=draw(st.booleans()))
    paths = [member.path for member in document.walk()]
    chosen = draw(st.sets(st.sampled_from(paths), max_size=4)) if paths else set()
    removed = {path for path in chosen if draw(st.booleans())}
    removed = {p for p in removed if not any(p[:n] in removed for n in range(1, len(p)))}
    renames = {
        path: draw(st.text(max_size=6))
        for path in chosen - removed
        if not any(path[:n] in removed for n in range(1, len(path) + 1))
        and (isinstance(path[-1], str) or isinstance(at(document.value, path), str))
    }
    return document, renames, removed


def at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def reference(value: Any, renames: dict[Path, str], removed: set[Path], path: Path = ()) -> Any:
    """The edit on the parsed value, as pairs, so that two equal keys stay apart."""
    if isinstance(value, dict):
        return [
            (renames.get((*path, key), key), reference(child, renames, removed, (*path, key)))
            for key, child in value.items()
            if (*path, key) not in removed
        ]
    if isinstance(value, list):
        return (
            "list",
            [
                renames.get((*path, n), reference(child, renames, removed, (*path, n)))
                for n, child in enumerate(value)
                if (*path, n) not in removed
            ],
        )
    return value


def as_pairs(text: str) -> Any:
    def tag_lists(value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(v, Pair) for v in value) and value:
            return [(v.key, tag_lists(v.value)) for v in value]
        if isinstance(value, Empty):
            return []
        if isinstance(value, list):
            return ("list", [tag_lists(v) for v in value])
        return value

    def hook(pairs: list[tuple[str, Any]]) -> Any:
        return [Pair(k, v) for k, v in pairs] or Empty()

    return tag_lists(json.loads(text, object_pairs_hook=hook))


class Pair:
    def __init__(self, key: str, value: Any) -> None:
        self.key, self.value = key, value


class Empty:
    pass


@given(edits())
def test_the_edited_text_has_the_edited_values(
    edit: tuple[JsonText, dict[Path, str], set[Path]],
) -> None:
    document, renames, removed = edit
    after = apply_edits(document.text, edit_json(document, renames, removed))
    assert repr(as_pairs(after)) == repr(reference(document.value, renames, removed))


@given(edits())
def test_bytes_outside_the_renamed_strings_do_not_change(
    edit: tuple[JsonText, dict[Path, str], set[Path]],
) -> None:
    document, renames, _ = edit
    made = edit_json(document, renames, ())
    after = apply_edits(document.text, made)
    old, new = document.text, after
    for done in reversed(made):  # cut every renamed string out of both texts
        shift = sum(len(e.text) - (e.end - e.start) for e in made if e.start < done.start)
        start = done.start + shift
        assert old[done.start] == '"'
        old = old[: done.start] + old[done.end :]
        new = new[:start] + new[start + len(done.text) :]
    assert old == new


@given(edits())
def test_the_patch_of_an_edit_leads_from_the_old_text_to_the_new(
    edit: tuple[JsonText, dict[Path, str], set[Path]],
) -> None:
    document, renames, removed = edit
    made = edit_json(document, renames, removed)
    assume(made)
    after = apply_edits(document.text, made)
    change = FileChange(document, made, len(renames), len(removed))
    assert patched(document.text, unified_diff(change)) == after


def patched(text: str, patch: str) -> str:
    """Apply a unified diff with no fuzz; fails where context or counts are wrong."""
    old = text.split("\n")
    new: list[str] = []
    position = 0
    lines = patch.split("\n")
    assert lines[:2] == ["--- a/config.json", "+++ b/config.json"]
    ends_without_newline = False
    for number, line in enumerate(lines[2:-1], 2):
        if line.startswith("@@"):
            start = int(line.split()[1][1:].split(",")[0])
            skip = max(start - 1, 0)
            new += old[position:skip]
            position = skip
        elif line.startswith("\\"):
            ends_without_newline = lines[number - 1][0] != "-"
        else:
            if line[0] in " -":
                assert old[position] == line[1:]
                position += 1
            if line[0] in " +":
                new.append(line[1:])
    new += old[position:]
    assert ends_without_newline or new[-1] == "" or position < len(old)
    return "\n".join(new)


@given(edits(), st.data())
def test_what_is_added_repeats_the_value_next_to_it(
    edit: tuple[JsonText, dict[Path, str], set[Path]], data: st.DataObject
) -> None:
    document, _, removed = edit
    stay = [
        path
        for path in (member.path for member in document.walk())
        if not any(path[:n] in removed for n in range(1, len(path) + 1))
        and not any(gone[: len(path)] == path for gone in removed)
        and all(isinstance(part, str) for part in path)  # removals shift positions in arrays
    ]
    assume(stay)
    path = data.draw(st.sampled_from(stay))
    taken = {str(member.path[-1]) for member in document.children(path[:-1])}
    name = data.draw(st.text(max_size=4).filter(lambda text: text not in taken))
    made = edit_json(document, {}, removed, {path: (name,)})
    after = JsonText.parse("config.json", apply_edits(document.text, made).encode())
    assert repr(at(after.value, (*path[:-1], name))) == repr(at(document.value, path))


def test_number_spelling_escapes_and_white_space_stay() -> None:
    text = (
        '{ "b\\u0061ckbone.x":\t1.50e+01 ,"t":[0.0,{"__float__": "Infinity"}],\r\n'
        '  "é": "caf\\u00e9", "ignore": [ "backbone.\\u00e9" , "keep"] }\n\n'
    )
    document = JsonText.parse("config.json", text.encode())
    renames: dict[Path, str] = {("backbone.x",): "model.x", ("ignore", 0): "model.é"}
    after = apply_edits(document.text, edit_json(document, renames, ()))
    assert after == text.replace('"b\\u0061ckbone.x"', '"model.x"').replace(
        '"backbone.\\u00e9"', '"model.\\u00e9"'
    )


def test_non_ascii_stays_unescaped_where_it_was() -> None:
    document = JsonText.parse("config.json", '{"ignore": ["backbone.é"]}'.encode())
    after = apply_edits(document.text, edit_json(document, {("ignore", 0): "model.é"}, ()))
    assert after == '{"ignore": ["model.é"]}'
