"""Layers that config.json declares but that are not stored, and the reverse."""

from collections.abc import Iterator

from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree


def layer_reasons(tree: Tree) -> Iterator[Reason]:
    """Too many layers, missing layers, layers of the wrong type, and missing parts of a layer."""
    number = tree.number_of_layers
    if number is None or not tree.base:
        return
    stored = set(tree.layers)
    extra = sorted(layer for layer in stored if layer >= number)
    key = (tree.layout and tree.layout.spec.count) or "num_hidden_layers"
    declared = f"{key} is {number:,}"
    if extra:
        text = f"builds no module for it: {declared}, but layer {extra[0]:,} is stored too"
        yield Reason(text, tree.stops)
    missing = sorted(set(range(min(number, len(stored) + 1))) - stored)
    if missing:
        text = f"leaves weights uninitialised: {declared}, but layer {missing[0]:,} is not stored"
        yield Reason(text, Effect.WRONG_WEIGHTS)
    if tree.layout is None:
        return
    present = set(tree.below.values()) | {
        f"{block}.{p}" for block, ps in tree.blocks.items() for p in ps
    }
    for part in tree.layout.spec.in_every_layer:
        names = (f"{tree.list_name}.{layer}.{part}" for layer in sorted(stored) if layer < number)
        if missing_part := next((name for name in names if name not in present), ""):
            yield tree.uninitialised(f"{tree.base}.{missing_part}")
    for layer in sorted(stored):
        reason, part = tree.layout.kind_of_layer(layer, tree.config)
        if part and layer < number and f"{tree.list_name}.{layer}.{part}" not in present:
            mismatch = f"layer {layer:,} has no {part}, but {reason}"
            yield Reason(f"leaves weights uninitialised: {mismatch}", Effect.WRONG_WEIGHTS)
            return
