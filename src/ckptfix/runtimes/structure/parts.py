"""Blocks that lack a module, and modules that lack a weight, a bias or a parameter."""

from collections.abc import Iterator

from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def incomplete_reasons(tree: Tree) -> Iterator[Reason]:
    """Modules with scales and no weight."""
    for name in tree.places:
        module = tree.checkpoint.modules[name]
        scales = {"weight_scale", "weight_scale_2", "input_scale"}
        if module.weight is None and module.tensors.keys() & scales:
            told = f"leaves weights uninitialised: {visible(name)} has scales and no weight"
            yield Reason(told, Effect.WRONG_WEIGHTS, tensor=name)


def part_reasons(tree: Tree) -> Iterator[Reason]:
    """What is missing of a block or a module of which something is stored."""
    if tree.layout is not None:
        yield from _blocks(tree, tree.layout)
        yield from _parameters(tree, tree.layout)


def _blocks(tree: Tree, layout: Layout) -> Iterator[Reason]:
    groups = [[either.split("|") for either in group] for group in layout.spec.together]
    for place, parts in tree.blocks.items():
        for group in groups:
            held = [any(part in parts for part in either) for either in group]
            if any(held) and not all(held):
                lost = group[held.index(False)][0]
                beside = next(parts[p] for either in group for p in either if p in parts)
                yield tree.unwritten(f"{tree.base}.{place}.{lost}", beside)
        for part, needed in layout.spec.beside.items():
            for lost in needed if part in parts else ():
                if lost not in parts:
                    yield tree.unwritten(f"{tree.base}.{place}.{lost}", parts[part])


def _parameters(tree: Tree, layout: Layout) -> Iterator[Reason]:
    for name, place in tree.below.items():
        module = tree.checkpoint.modules[name]
        if module.weight is None:
            continue
        within = tree.within(place)
        wanted = list(layout.parameters_beside_weight(within))
        if layout.has_bias(within, tree.config):
            wanted.append("bias")
        for role in wanted:
            if role not in module.tensors:
                yield tree.unwritten(f"{name}.{role}", name)
