"""Modules whose rows a loader reorders, with a tensor that it leaves in the stored order.

Mistral's own format has the two halves of a rotary pair next to each other, vLLM's layers have them
half a head apart. Its loader moves the rows of a head of `weight` and `qscale_weight`, of nothing
else (vllm 0.33.0, vllm/model_executor/models/mistral.py `maybe_remap_mistral`). Llama 4 has them
next to each other, too: vLLM moves all that has rows, SGLang `weight` alone (sglang 0.5.23,
sglang/srt/models/mllama4.py `permute_qk_weight_for_rotary`), and stops at one that is packed.
"""

from collections.abc import Iterator
from typing import Final

from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.places import shell_patterns
from ckptfix.runtimes.structure.several import about
from ckptfix.runtimes.structure.tree import Tree

_MOVED: Final = (".weight", ".qscale_weight")


def turned_reasons(tree: Tree) -> Iterator[Reason]:
    """Tensors by row that do not move with the rows of their weight."""
    patterns, head = shell_patterns(tree.family.spec.turned), tree.config.number("head_dim")
    if not tree.family.spec.turned or head is None:
        return
    modules = [m for m in tree.checkpoint.modules.values() if patterns.match(m.name)]
    names = [name for module in modules for name in _left(module, head)]
    if names:
        text = "moves the rows of each head of these modules, and leaves those of {}"
        yield about(tree, names, text, Effect.WRONG_WEIGHTS)


def _left(module: Module, head: int) -> Iterator[str]:
    weight = module.weight
    rows = weight.shape[0] if weight is not None and weight.shape else 0
    for role, tensor in module.tensors.items():
        name, parts = module.tensor_names[role], tensor.shape[0] if tensor.shape else 1
        moves = name.endswith(_MOVED) or parts <= 1
        # One value for whole heads stays where it is.
        if not moves and (rows // parts) % head:
            yield name
