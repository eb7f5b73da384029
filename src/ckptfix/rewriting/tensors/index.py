"""The shard index with new tensor names. Pure."""

from collections.abc import Mapping

from ckptfix.jsontext.keys import key_edits, keys_of
from ckptfix.jsontext.text import JsonText
from ckptfix.rewriting.plan import FileChange


def rename_in_index(document: JsonText, renames: Mapping[str, str]) -> FileChange:
    """The edits of `weight_map`; formatting, order and everything else stay."""
    text = document.text
    brace = next(k.value_start for k in keys_of(text, text.index("{")) if k.name == "weight_map")
    edits = key_edits(text, brace, renames)
    return FileChange(document, edits, len(edits), removed=0)
