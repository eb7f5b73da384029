"""Which modules belong to draft layers (MTP, NextN)."""

import re
from typing import Final

from ckptfix.checkpoint.checkpoint import Checkpoint

_DRAFT_PART: Final = re.compile(r"(?:^|\.)(?:mtp(?:_\w+)?|nextn|eagle)(?=\.|$)")
_LAYER: Final = re.compile(r"(?:^|\.)layers\.(\d+)(?=\.|$)")


def draft_root(checkpoint: Checkpoint, module: str) -> str | None:
    """The subtree of draft layers that contains a module: `mtp`, or `model.layers.61`.

    A layer numbered num_hidden_layers or higher is a draft layer (DeepSeek V3, GLM-4.5).
    """
    if found := _DRAFT_PART.search(module):
        return module[: found.end()]
    layers = checkpoint.config.num_hidden_layers
    found = _LAYER.search(module)
    if layers and found and int(found[1]) >= layers:
        return module[: found.end()]
    return None


def is_declared_draft(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a module or tensor lies in one of the draft layers that config.json counts."""
    drafts, layers = checkpoint.config.draft_layers, checkpoint.config.num_hidden_layers
    if drafts is None or drafts.number < 1:
        return False
    if _DRAFT_PART.search(name):
        return True
    found = _LAYER.search(name)
    return bool(layers and found and layers <= int(found[1]) < layers + drafts.number)
