"""Output heads tied to the embeddings: what a stored one repeats, how an absent one is named.

Some checkpoints with tied embeddings store the head anyway, for example Qwen3-0.6B. Nothing is lost
if a runtime skips such a copy. Shapes do not show it, so a few of their bytes are compared.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Final

from msgspec import Struct

from ckptfix.checkpoint.safetensors import fetch_header, read_starts
from ckptfix.checkpoint.source import Source
from ckptfix.checkpoint.tensor_table import TensorTable

_HEAD: Final = "lm_head.weight"
_EMBEDDINGS: Final = "embed_tokens.weight"
_SAMPLE: Final = 4096
"""Bytes compared at the beginning, in the middle and at the end: weights of two layers differ in
any of them."""


class TiedHead(Struct, frozen=True, dict=True):
    """The output head of a checkpoint whose config.json ties it to the embeddings."""

    source: Source
    table: TensorTable

    @cached_property
    def repeats_embeddings(self) -> bool:
        """True if the only head has the bytes of the only embeddings, as far as they are compared.

        Zeros alone prove nothing, because no weights were written there. Read when it is asked
        for: only some runtimes leave out a tied head.

        Raises:
            CkptfixError: a shard file cannot be read.
        """
        return _repeats(self.source, self.table)


def _repeats(source: Source, table: TensorTable) -> bool:
    heads = _named(table, _HEAD)
    embeddings = _named(table, _EMBEDDINGS)
    if len(heads) != 1 or len(embeddings) != 1:
        return False
    (head,), (embedding,) = heads, embeddings
    stored = table.tensors[head]
    if stored != table.tensors[embedding]:
        return False
    places = [(table.file_of[name], name) for name in (head, embedding)]
    seen = False
    starts = {file: read_starts(fetch_header(source, file)) for file in {f for f, _ in places}}
    for offset in (0, stored.nbytes // 2, max(0, stored.nbytes - _SAMPLE)):
        length = min(_SAMPLE, stored.nbytes - offset)
        first, second = (
            source.read_range(file, starts[file][name] + offset, length) for file, name in places
        )
        if first != second:
            return False
        seen = seen or any(first)
    return seen


def absent_head(modules: Iterable[str]) -> str | None:
    """The name of a tied head that is not stored, as the checkpoint would spell it.

    The head is next to the base model, which transformers calls `model`. None if a head is stored,
    or if there are no embeddings, or several.

    >>> absent_head(["model.embed_tokens", "model.layers.0.mlp.up_proj"])
    'lm_head'
    >>> absent_head(["language_model.model.embed_tokens"])
    'language_model.lm_head'
    >>> absent_head(["model.language_model.embed_tokens"])
    'lm_head'
    """
    names = list(modules)
    head, embeddings = (name.removesuffix(".weight") for name in (_HEAD, _EMBEDDINGS))
    tables = [name for name in names if name.rpartition(".")[2] == embeddings]
    if len(tables) != 1 or any(name.rpartition(".")[2] == head for name in names):
        return None
    parts = tables[0].split(".")
    above = parts[: parts.index("model")] if "model" in parts else parts[:-2]
    return ".".join((*above, head))


def _named(table: TensorTable, last: str) -> list[str]:
    return [name for name in table.tensors if name == last or name.endswith(f".{last}")]
