"""Blocks without one of their modules; modules without a weight, a bias or a parameter."""

from collections.abc import Iterator, Sequence
from typing import Final

from ckptfix.checkpoint.modules import Module
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.blocks import Blocks, LayerKind
from ckptfix.runtimes.structure.parameters import is_under_another_name
from ckptfix.runtimes.structure.several import about
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible

_FOREIGN: Final = frozenset({"qzeros", "scales", "g_idx", "weight_g_idx", "weight_zero_point"})
"""Roles of tensors that ModelOpt does not store."""
SCALES_OF_WEIGHTS: Final = frozenset({"weight_scale", "weight_scale_2", "input_scale"})
"""Roles of tensors that it stores next to a weight."""
Names = Sequence[Sequence[str]]
"""Parts that a block has all of or none of, each by the names that it may have."""


def incomplete_reasons(tree: Tree) -> Iterator[Reason]:
    """Modules with scales but no weight."""
    for name in tree.places:
        module = tree.checkpoint.modules[name]
        if module.weight is None and module.tensors.keys() & SCALES_OF_WEIGHTS:
            text = f"leaves weights uninitialised: {visible(name)} has scales but no weight"
            yield Reason(text, Effect.WRONG_WEIGHTS, tensor=name)


def foreign_reasons(tree: Tree) -> Iterator[Reason]:
    """What another quantizer stores next to its codes, without these.

    vLLM has no parameter for it, nor has SGLang: some of its classes stop, others pass over it.
    """
    roles = _FOREIGN - tree.takes - {tree.expected.drops_role}
    modules = (tree.checkpoint.modules[name] for name in tree.places)
    names = [
        module.tensor_names[role]
        for module in modules
        if module.weight is None or "weight" in module.tensors
        for role in module.tensors
        if role in roles
    ]
    if names:
        yield about(tree, names, "has no parameter for {}", tree.stops)


def part_reasons(tree: Tree) -> Iterator[Reason]:
    """Parts missing from a block or a module that is only partly stored."""
    if tree.layout is not None:
        yield from _blocks(tree, tree.layout)
        yield from _parameters(tree, tree.layout)


def _blocks(tree: Tree, layout: Layout) -> Iterator[Reason]:
    groups = [[names.split("|") for names in group] for group in layout.spec.together]
    tables = [layout.spec.beside, *(spec.beside for spec in layout.when_set(tree.config))]
    beside = [row for table in tables for row in table.items()]
    sound: set[LayerKind] = set()
    for number, kind in tree.blocks.kinds.items():
        if kind not in sound:
            layer = f"{tree.list_name}.{number}"
            blocks = {
                f"{layer}.{place}" if place else layer: parts
                for place, parts in tree.blocks.of(number).items()
            }
            incomplete = list(_in_blocks(tree, blocks, groups, beside))
            yield from incomplete
            if not incomplete:
                sound.add(kind)
    yield from _in_blocks(tree, tree.blocks.loose, groups, beside)


def _in_blocks(
    tree: Tree, blocks: Blocks, groups: Sequence[Names], beside: Sequence[tuple[str, Sequence[str]]]
) -> Iterator[Reason]:
    for place, parts in blocks.items():
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
    def lacks(within: str, module: Module) -> list[str]:
        if module.weight is None:
            own = {"bias", *layout.parameters_with(within)}
            is_other = module.tensors.keys() <= own or is_under_another_name(tree, layout, module)
            return ["weight"] if is_other else []
        roles = [*layout.parameters_beside_weight(within)]
        roles += layout.parameters_when_set(within, tree.config)
        if layout.has_bias(within, tree.config):
            roles.append("bias")
        needed = (role.split("|") for role in roles)
        return [names[0] for names in needed if module.tensors.keys().isdisjoint(names)]

    for name, role in tree.each(lacks):
        yield tree.uninitialised(f"{name}.{role}", name)
