"""Blocks without one of their modules; modules without a weight, a bias or a parameter."""

from collections.abc import Iterator

from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def incomplete_reasons(tree: Tree) -> Iterator[Reason]:
    """Modules with scales but no weight."""
    for name in tree.places:
        module = tree.checkpoint.modules[name]
        scales = {"weight_scale", "weight_scale_2", "input_scale"}
        if module.weight is None and module.tensors.keys() & scales:
            text = f"leaves weights uninitialised: {visible(name)} has scales but no weight"
            yield Reason(text, Effect.WRONG_WEIGHTS, tensor=name)


def part_reasons(tree: Tree) -> Iterator[Reason]:
    """Parts missing from a block or a module that is only partly stored."""
    if tree.layout is not None:
        yield from _blocks(tree, tree.layout)
        yield from _parameters(tree, tree.layout)


def _blocks(tree: Tree, layout: Layout) -> Iterator[Reason]:
    groups = [[names.split("|") for names in group] for group in layout.spec.together]
    tables = [layout.spec.beside, *(spec.beside for spec in layout.when_set(tree.config))]
    beside = [row for table in tables for row in table.items()]
    for place, parts in tree.blocks.items():
        for group in groups:
            present = [any(name in parts for name in names) for names in group]
            if any(present) and not all(present):
                missing = group[present.index(False)][0]
                stored = next(parts[name] for names in group for name in names if name in parts)
                yield _lost(tree, f"{place}.{missing}", stored)
        for part, needed in beside:
            for name in needed if part in parts else ():
                if name not in parts:
                    yield _lost(tree, f"{place}.{name}", parts[part])


def _lost(tree: Tree, place: str, stored: str) -> Reason:
    return tree.uninitialised(f"{tree.base}.{place}", tree.beside(place, stored))


def _parameters(tree: Tree, layout: Layout) -> Iterator[Reason]:
    for name, place in tree.below.items():
        module = tree.checkpoint.modules[name]
        within = tree.within(place)
        if module.weight is None:
            if module.tensors.keys() <= {"bias", *layout.parameters_with(within)}:
                yield tree.uninitialised(f"{name}.weight", name)
            continue
        roles = list(layout.parameters_beside_weight(within))
        if layout.has_bias(within, tree.config):
            roles.append("bias")
        for role in roles:
            names = role.split("|")
            if module.tensors.keys().isdisjoint(names):
                yield tree.uninitialised(f"{name}.{names[0]}", name)
