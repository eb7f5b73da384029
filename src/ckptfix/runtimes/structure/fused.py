"""Modules that are stored as one and that a class builds of several, with a scale for each.

Where the checkpoint has one scale for all, a loader of its own stops at it (sglang 0.5.21 to
0.5.23, sglang/srt/models/qwen3_next.py `_make_packed_weight_loader`).
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Final

from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.loads import Reason
from ckptfix.runtimes.places import shell_patterns
from ckptfix.runtimes.structure.several import stop_at
from ckptfix.runtimes.structure.tree import Tree

_ROLES: Final = ("weight_scale", "input_scale")
_NOT_BY_ROW: Final = ("weight_shape", "g_idx")
"""What compressed-tensors and GPTQ store once for a module."""


def fused_reasons(tree: Tree) -> Iterator[Reason]:
    """Scales for the whole of such a module, and what has no rows to join."""
    yield from _joined(tree)
    fused = tree.family.spec.scales_by_part
    if not fused:
        return
    patterns = shell_patterns(fused)
    names = [
        module.tensor_names[role]
        for module in tree.checkpoint.modules.values()
        if patterns.match(module.name)
        for role in _ROLES
        if role in module.tensors and prod(module.tensors[role].shape) == 1
    ]
    if names:
        yield stop_at(tree, names, "has a scale for each part of this module, but {} is one")


def _joined(tree: Tree) -> Iterator[Reason]:
    """Modules that a loader joins (sglang 0.5.23, deepseek_common/deepseek_weight_loader.py)."""
    by_row = tree.family.spec.joined
    names = [
        module.tensor_names[role]
        for module in _all_of(tree, by_row)
        for role in _NOT_BY_ROW
        if role in module.tensors
    ]
    if names:
        yield stop_at(tree, names, f"joins {' and '.join(by_row)}, {{}} too")


def stops_at_joined(tree: Tree) -> Iterator[Reason]:
    """Tensors without dimensions that a loader joins, wherever the class has them."""
    written = tree.expected.by_config
    if written is None or tree.checkpoint.table.names_only:
        return
    for spec in written.joined(tree.flat):
        names = [
            module.tensor_names[role]
            for module in _all_of(tree, spec.parts)
            for role, tensor in module.tensors.items()
            if role in _NOT_BY_ROW or not tensor.shape
        ]
        if names:
            text = f"joins {' and '.join(spec.parts)} by rows, and finds none in {{}}"
            yield stop_at(tree, names, text)


def _all_of(tree: Tree, parts: Sequence[str]) -> Iterator[Module]:
    """The first of the modules that a loader joins, where all are stored."""
    modules = tree.checkpoint.modules
    first, *others = parts or ("",)
    for module in modules.values() if others else ():
        parent, _, last = module.name.rpartition(".")
        if last == first and all(f"{parent}.{other}" in modules for other in others):
            yield module
