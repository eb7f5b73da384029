"""Layers that config.json declares but that are not stored, and the reverse."""

from collections.abc import Iterator, Sequence, Set

from ckptfix.checkpoint.model_config import ModelConfig
from ckptfix.runtimes.layout import Layout
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree


def layer_reasons(tree: Tree) -> Iterator[Reason]:
    """Too many layers, missing layers, layers of the wrong type, and missing parts of a layer."""
    number = tree.number_of_layers
    if not tree.base:
        return
    stored = set(tree.layers)
    if number is None:
        gaps = set(range(max(stored, default=0))) - stored if tree.tower else ()
        if gaps:
            yield tree.uninitialised(f"{tree.base}.{tree.list_name}.{min(gaps)}")
        return
    extra = sorted(layer for layer in stored if layer >= number)
    declared = tree.declared(number)
    if extra:
        text = f"builds no module for it: {declared}, but layer {extra[0]:,} is stored too"
        yield Reason(text, tree.stops)
    missing = sorted(set(range(min(number, len(stored) + 1))) - stored)
    if missing:
        yield tree.unwritten(f"{declared}, but layer {missing[0]:,} is not stored")
    if tree.layout is not None:
        yield from _parts_of_layers(tree, tree.layout, [n for n in sorted(stored) if n < number])


def _parts_of_layers(tree: Tree, layout: Layout, layers: Sequence[int]) -> Iterator[Reason]:
    for part in _in_every_layer(layout, tree.config):
        names = part.split("|")
        for layer in layers:
            if tree.blocks.parts_of(layer).isdisjoint(names):
                yield tree.uninitialised(f"{tree.base}.{tree.list_name}.{layer}.{names[0]}")
                break
    for layer in layers:
        for reason, part in layout.kinds_of_layer(layer, tree.config):
            if part not in (parts := tree.blocks.parts_of(layer)):
                yield _of_another_kind(tree, layer, part, reason, layout.instead_of(part) & parts)
                return
            if starts := layout.excluded_by(part):
                excluded = {name for name in parts if name.startswith(starts)}
                if excluded:
                    yield Reason(_not_built(layer, reason, excluded), tree.stops)
                    return


def _of_another_kind(tree: Tree, layer: int, part: str, reason: str, instead: Set[str]) -> Reason:
    """A layer lacks a part of its kind; a release that stops at tensors meets those it has."""
    if instead and tree.stops is Effect.STOPS:
        return Reason(_not_built(layer, reason, instead), Effect.STOPS)
    mismatch = f"layer {layer:,} has no {part}, but {reason}"
    return Reason(f"leaves weights uninitialised: {mismatch}", Effect.WRONG_WEIGHTS)


def _not_built(layer: int, reason: str, instead: Set[str]) -> str:
    return f"builds no module for {min(instead)} of layer {layer:,}: {reason}"


def _in_every_layer(layout: Layout, config: ModelConfig) -> Iterator[str]:
    yield from layout.spec.in_every_layer
    for spec in layout.when_set(config):
        yield from spec.in_every_layer
