"""A model on meta, and those of its modules that a checkpoint's tensors may end in."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

Question = tuple[str, str]
"""Name under which a layer looked itself up in the quantization config, class of the answer (empty:
none)."""


@dataclass(frozen=True)
class Kinds:
    """The runtime's layer classes, by kind."""

    linear: tuple[type, ...]
    head: tuple[type, ...]
    embedding: tuple[type, ...]
    experts: tuple[type, ...]


@dataclass(frozen=True)
class Built:
    """A model, and what was recorded while it was built."""

    model: Any
    questions: Mapping[int, list[Question]]
    """id of a module -> its lookups."""
    packed: Mapping[str, tuple[str, ...]]
    """Fused module -> the modules that it is made of."""
    mapper: Any
    """The WeightsMapper of the class, or None."""
    loading: Callable[[], AbstractContextManager[Any]]
    """A context in which load_weights runs."""
    quant_name: str
    """What `get_name()` of the quantization config says."""
    mappers: Any
    """The rules of every mapper that was applied to a recorder's names, in order; None if that
    cannot be observed."""
    needs_cache_scales: bool = False
    """The KV cache is quantized, and not every class of the runtime loads its scales."""


_ATTENTION: Final = re.compile("ttention|Attn|MLA")


def modules(built: Built, kinds: Kinds) -> list[dict[str, Any]]:
    """Rows of every module that can carry a quantized weight, or that was looked up.

    `kind`: linear, head, embedding, experts (the runtime's, they may be quantized); attn;
    torch.linear, torch.embedding (never); other.
    """
    rows = []
    for place, module in built.model.named_modules():
        asked = built.questions.get(id(module))
        kind = _kind(module, kinds, asks=bool(asked))
        if kind:
            names = list(dict.fromkeys(name for name, _ in asked)) if asked else None
            method = asked[-1][1] if asked else ""
            rows.append({"place": place, "kind": kind, "asked": names, "method": method})
    return rows


def _kind(module: Any, kinds: Kinds, *, asks: bool) -> str:
    import torch

    table = (
        ("linear", kinds.linear),
        ("head", kinds.head),
        ("embedding", kinds.embedding),
        ("experts", kinds.experts),
        ("torch.linear", (torch.nn.Linear,)),
        ("torch.embedding", (torch.nn.Embedding,)),
    )
    for name, classes in table:
        if isinstance(module, classes):
            return name
    class_name = type(module).__name__
    if hasattr(module, "moe_config") and "ttention" not in class_name:
        return "experts"
    if asks:
        return "attn" if _ATTENTION.search(class_name) else "other"
    return ""
