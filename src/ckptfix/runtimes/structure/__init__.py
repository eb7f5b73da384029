"""Tensors for which a release builds no module, and modules that no tensor fills.

config.json determines what a class builds: layers, experts, rows of the embeddings. vLLM stops
at a tensor for which it has no parameter, and does not report a parameter that is never written;
SGLang reports neither (vLLM 0.33.0, vllm/model_executor/models/utils.py
`AutoWeightsLoader`, vllm/model_executor/model_loader/default_loader.py; SGLang 0.5.23,
`load_weights` of the models).
"""

from collections.abc import Iterator

from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.structure.built_modules import built_reasons
from ckptfix.runtimes.structure.companions import companion_reasons, weightless_reasons
from ckptfix.runtimes.structure.conditions import condition_reasons
from ckptfix.runtimes.structure.expected import Expected
from ckptfix.runtimes.structure.experts import expert_reasons
from ckptfix.runtimes.structure.fused import fused_reasons, stops_at_joined
from ckptfix.runtimes.structure.kv_scales import (
    OF_PROBABILITIES,
    kv_scale_reasons,
    one_scale_reasons,
)
from ckptfix.runtimes.structure.layers import layer_reasons
from ckptfix.runtimes.structure.learned_sizes import learned_size_reasons
from ckptfix.runtimes.structure.lists import list_reasons
from ckptfix.runtimes.structure.parts import foreign_reasons, incomplete_reasons, part_reasons
from ckptfix.runtimes.structure.settings import class_reasons, metadata_reasons, setting_reasons
from ckptfix.runtimes.structure.sizes import size_reasons
from ckptfix.runtimes.structure.strays import stray_reasons
from ckptfix.runtimes.structure.tables import beside_reasons, table_reasons, tower_reasons
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.runtimes.structure.turned import turned_reasons

__all__ = [
    "OF_PROBABILITIES",
    "Expected",
    "Tree",
    "class_reasons",
    "companion_reasons",
    "learned_size_reasons",
    "list_reasons",
    "metadata_reasons",
    "one_scale_reasons",
    "stops_at_joined",
    "structure_reasons",
]


def structure_reasons(tree: Tree) -> Iterator[Reason]:
    """Why a release does not load a checkpoint as it is stored."""
    yield from setting_reasons(tree)
    yield from stray_reasons(tree)
    yield from kv_scale_reasons(tree)
    yield from condition_reasons(tree)
    yield from built_reasons(tree)
    yield from layer_reasons(tree)
    shapes_are_known = not tree.checkpoint.table.names_only
    if shapes_are_known:
        yield from turned_reasons(tree)
        yield from fused_reasons(tree)
        yield from table_reasons(tree)
        yield from expert_reasons(tree)
    yield from incomplete_reasons(tree)
    yield from foreign_reasons(tree)
    if not tree.takes:
        yield from weightless_reasons(tree)
    yield from tower_reasons(tree)
    yield from list_reasons(tree)
    for part in (tree, *tree.towers):
        yield from beside_reasons(part)
        yield from part_reasons(part)
    if shapes_are_known:
        by_layout = [reason for part in (tree, *tree.towers) for reason in size_reasons(part)]
        yield from by_layout
        said = {reason.tensor for reason in by_layout}
        yield from (r for r in learned_size_reasons(tree) if r.tensor not in said)
    for tower in tree.towers:
        yield from layer_reasons(tower)
