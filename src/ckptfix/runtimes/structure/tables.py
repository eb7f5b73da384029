"""Embeddings, the output head, the last norm, and what only some configs have beside them."""

from collections.abc import Iterator

from ckptfix.checkpoint.dialects.statements import CONFIG_FILE
from ckptfix.runtimes.loads import Effect, Reason
from ckptfix.runtimes.structure.tree import Tree
from ckptfix.text import visible


def table_reasons(tree: Tree) -> Iterator[Reason]:
    """What stands outside of the layers."""
    heads = [
        name for name in tree.places if tree.family.is_head(tree.family.mapper.map(name) or "")
    ]
    if tree.base:
        yield from _rows(tree, heads)
        yield from _ties(tree, heads)
    yield from _only_some_configs(tree)


def beside_reasons(tree: Tree) -> Iterator[Reason]:
    """What the language model or a tower always has beside its layers."""
    layout = tree.layout
    held = {place for place in tree.below.values() if tree.in_layer(place) is None}
    if layout is None or any(not layout.may_hold(place) for place in held):
        return  # one that no module takes is most likely the missing one, and has its own reason
    for name in layout.spec.beside_layers:
        if name not in held:
            yield tree.unwritten(f"{tree.base}.{name}")


def _rows(tree: Tree, heads: list[str]) -> Iterator[Reason]:
    rows = tree.config.number("vocab_size")
    tables = [name for name, place in tree.below.items() if place == "embed_tokens"]
    for name in (*tables, *heads):
        weight = tree.checkpoint.modules[name].weight
        if rows is not None and weight is not None and weight.shape[:1] not in ((), (rows,)):
            told = f"{visible(name)} has {weight.shape[0]:,} rows, but vocab_size is {rows:,}"
            yield Reason(f"stops: {told}", Effect.STOPS, tensor=name)


def _ties(tree: Tree, heads: list[str]) -> Iterator[Reason]:
    tied = _is_tied(tree)
    if tied is False and not heads and tree.layout is not None and not tree.is_fragment:
        told = "the head is not stored, and tie_word_embeddings is false"
        yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)
    elif tied and heads and tree.family.spec.leaves_out_tied_head:
        told = "tie_word_embeddings is true, so it uses the embeddings for the head"
        told = f"does not load {visible(heads[0])}: {told}"
        yield Reason(told, Effect.WRONG_WEIGHTS, tensor=heads[0])


def _is_tied(tree: Tree) -> bool | None:
    """What ties the head to the embeddings; None where config.json does not say."""
    if tree.family.spec.tied_by_wrapper and CONFIG_FILE in tree.checkpoint.documents:
        outer = tree.checkpoint.documents[CONFIG_FILE].value.get("tie_word_embeddings")
        if isinstance(outer, bool):
            return outer
    return tree.config.tied_embeddings


def _only_some_configs(tree: Tree) -> Iterator[Reason]:
    for built in tree.expected.built:
        number = tree.config.number(built.key)
        if not number:
            continue
        for name in built.modules:
            if name not in tree.checkpoint.modules:
                told = f"{visible(name)} is not stored, but {built.key} is {number:,}"
                yield Reason(f"leaves weights uninitialised: {told}", Effect.WRONG_WEIGHTS)
