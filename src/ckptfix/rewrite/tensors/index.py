"""The shard index with other tensor names in it. Pure."""

from collections.abc import Mapping

from ckptfix.checkpoint.json_text import JsonText
from ckptfix.rewrite.plan import FileChange
from ckptfix.rewrite.tensors.json_keys import key_edits, keys_of
from ckptfix.rewrite.text_edit import apply_edits


def rename_in_index(document: JsonText, renames: Mapping[str, str]) -> FileChange:
    """The change of `weight_map`; formatting, order and all else stay."""
    text = document.text
    brace = next(k.value_start for k in keys_of(text, text.index("{")) if k.name == "weight_map")
    edits = key_edits(text, brace, renames)
    return FileChange(document.file, text, apply_edits(text, edits), edits, len(edits), removed=0)
