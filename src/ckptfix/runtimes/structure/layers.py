"""Layers that config.json announces and that are not stored, or the other way round."""

from collections.abc import Iterator

from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree


def layer_reasons(tree: Tree) -> Iterator[Reason]:
    """Layers too many, too few, of another kind, and what every layer has."""
    number = tree.number_of_layers
    if number is None or not tree.base:
        return
    stored = set(tree.layers)
    more = sorted(layer for layer in stored if layer >= number)
    key = (tree.layout and tree.layout.spec.count) or "num_hidden_layers"
    announced = f"{key} is {number:,}"
    if more:
        told = f"builds no module for it: {announced}, but layer {more[0]:,} is stored too"
        yield Reason(told, tree.stops)
    missing = sorted(set(range(min(number, len(stored) + 1))) - stored)
    if missing:
        told = f"leaves weights uninitialised: {announced}, but layer {missing[0]:,} is not stored"
        yield Reason(told, Effect.WRONG_WEIGHTS)
    if tree.layout is None or tree.is_fragment:
        return
    held = set(tree.below.values()) | {
        f"{block}.{p}" for block, ps in tree.blocks.items() for p in ps
    }
    for part in tree.layout.spec.in_every_layer:
        wanted = (f"{tree.list_name}.{layer}.{part}" for layer in sorted(stored) if layer < number)
        if lost := next((name for name in wanted if name not in held), ""):
            yield tree.unwritten(f"{tree.base}.{lost}")
    for layer in sorted(stored):
        why, part = tree.layout.kind_of_layer(layer, tree.config)
        if part and layer < number and f"{tree.list_name}.{layer}.{part}" not in held:
            told = f"layer {layer:,} has no {part}, but {why}"
            yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)
            return
