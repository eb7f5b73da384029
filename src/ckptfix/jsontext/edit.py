"""Every change that can be made to a metadata file, as one list of text edits."""

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct, field

from ckptfix.jsontext.rename import edit_json
from ckptfix.jsontext.set_values import set_values
from ckptfix.jsontext.spans import TextEdit, apply_edits, compose_edits
from ckptfix.jsontext.text import JsonText, Path


class DocumentEdit(Struct, frozen=True):
    """Names are changed and removed, then values are set in the result."""

    renames: Mapping[Path, str] = field(default_factory=dict)
    removals: Set[Path] = frozenset()
    additions: Mapping[Path, Sequence[str]] = field(default_factory=dict)
    """Statement -> names that are added next to it with the same value."""
    settings: Mapping[Path, object] = field(default_factory=dict)
    """As `set_values` takes them; paths hold after renames and removals."""
    appended: Mapping[Path, Sequence[object]] = field(default_factory=dict)


def edit_document(document: JsonText, edit: DocumentEdit) -> tuple[TextEdit, ...]:
    """The edits, in the order of the text, without overlaps or edits without effect."""
    edits = edit_json(document, edit.renames, edit.removals, edit.additions)
    if edit.settings or edit.appended:
        text = apply_edits(document.text, edits)
        middle = JsonText.parse(document.file, text.encode("utf-8")) if edits else document
        more = set_values(middle, edit.settings, edit.appended)
        edits = compose_edits(document.text, edits, more)
    return tuple(e for e in edits if document.text[e.start : e.end] != e.text)
